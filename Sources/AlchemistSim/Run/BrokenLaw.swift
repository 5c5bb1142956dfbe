internal import Foundation
internal import MeasuredBackend
internal import Results
internal import Simulator

/// A law that did not hold in a run: a bug, with all that is known of where it was found.
public struct BrokenLaw: Sendable, CustomStringConvertible {
    /// The arm that was running, if it is known.
    public let arm: String?
    public let law: String
    /// Where the run stood, in lines for a person.
    public let state: String

    public init(arm: String? = nil, law: String, state: String) {
        self.arm = arm
        self.law = law
        self.state = state
    }

    public var description: String { (arm.map { "arm \($0): " } ?? "") + "broken law: " + law }

    /// Writes law and state beside a results file, as `NAME.state.txt`, or into the folder for temporary files.
    ///
    /// - Returns: where that is, in words for the user; or why it is nowhere.
    public func save(beside results: String?) -> String {
        let path =
            results.map(Self.path(beside:))
            ?? FileManager.default.temporaryDirectory
            .appendingPathComponent("alchemist-sim-\(StagedFile.writer).state.txt").path
        let origin = (arm.map { "arm \($0)\n" } ?? "") + "program \(Build.version) (\(Build.commit))\n"
        let text = "law \(law)\n" + origin + state
        do throws(ResultsError) {
            try StagedFile.write(Array(text.utf8), to: path)
            return "its state is in \(path)"
        } catch {
            return "its state could not be kept: \(error)"
        }
    }

    /// The name of the file with the state of a run whose results would be `results`.
    public static func path(beside results: String) -> String {
        (results.hasSuffix(".h5") ? String(results.dropLast(3)) : results) + ".state.txt"
    }

    /// Removes what a run that is ended on the spot would leave half-written.
    public static func removeRemains(of results: String) { StagedFile.removeTemporary(of: results) }
}

extension Simulation {
    /// Runs an arm to its end; errors name it, and a broken law comes with the state that it was found in.
    mutating func run(
        arm: String, progress: (_ finished: Int, _ now: SimTime) -> Void, shouldStop: () -> Bool
    ) throws -> ArmLog {
        do {
            return try run(progress: progress, shouldStop: shouldStop)
        } catch SimulationError.brokenLaw(let law) {
            throw ExperimentError.brokenLaw(BrokenLaw(arm: arm, law: law, state: stateText()))
        } catch let error as SimulationError {
            throw ExperimentError.arm(arm, error)
        } catch let error as PricingError {
            guard case .belowFloor = error else { throw ExperimentError.pricing(arm, error) }
            throw ExperimentError.brokenLaw(BrokenLaw(arm: arm, law: "\(error)", state: stateText()))
        } catch let error as MeasuredBackendError {
            throw ExperimentError.brokenLaw(BrokenLaw(arm: arm, law: "\(error)", state: stateText()))
        }
    }
}
