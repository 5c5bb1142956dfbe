public import Results
internal import Simulator

/// What a results file holds for running its arms again.
public struct Recording: Sendable {
    struct Arm: Sendable {
        var name: String
        var hardware: Hardware
        /// By repeat.
        var repeats: [ReplayTable]
    }

    /// The scenario that the run resolved.
    public let scenario: Scenario
    /// Threads of the engine, whose scratch is part of the books.
    let threads: Int
    let provenance: Provenance
    let arms: [Arm]

    public init(contentsOf path: String) throws(RecordingError) {
        let file = try Self.reading { () throws(ResultsError) in try ResultsFile(reading: path) }
        provenance = try Self.reading { () throws(ResultsError) in try file.provenance }
        threads = provenance.threads
        let text = try Self.reading { () throws(ResultsError) in try file.scenario }
        do { scenario = try Scenario(yaml: text, path: path + "/scenario") } catch { throw .scenario(error) }
        var arms: [Arm] = []
        for name in try Self.reading({ () throws(ResultsError) in try file.arms }) {
            arms.append(try Self.arm(named: name, in: file, path, scenario.hardware))
        }
        self.arms = arms
    }

    /// What the run's first arm was priced on.
    var hardware: Hardware? { arms.first?.hardware }

    private static func reading<Value: ~Copyable>(
        _ work: () throws(ResultsError) -> Value
    ) throws(RecordingError) -> Value {
        do { return try work() } catch { throw .results(error) }
    }

    private static func arm(
        named name: String, in file: borrowing ResultsFile, _ path: String, _ setting: AcceleratorSetting
    ) throws(RecordingError) -> Arm {
        let text: String?
        var repeats: [ReplayTable] = []
        do {
            text = try file.profile(of: name)
            for group in try file.repeats(of: name) {
                var table = ReplayTable()
                for quantum in try file.quanta(of: name, in: group) {
                    table.add(quantum.key, ReplayTable.Execution(duration: quantum.duration, units: quantum.units))
                }
                repeats.append(table)
            }
        } catch {
            throw .results(error)
        }
        guard let text else { throw .noProfile(path, arm: name) }
        do {
            let hardware = try Hardware(yaml: text, path: path + "/profiles", setting)
            return Arm(name: name, hardware: hardware, repeats: repeats)
        } catch {
            throw .profile(error)
        }
    }

    func arm(named name: String) throws(RecordingError) -> Arm {
        guard let arm = arms.first(where: { $0.name == name }) else {
            throw .missingArm(name, known: arms.map(\.name))
        }
        return arm
    }
}

/// Why a run can not be replayed.
public enum RecordingError: Error, CustomStringConvertible {
    case results(ResultsError)
    case scenario(ScenarioError)
    case profile(ProfileError)
    case noProfile(String, arm: String)
    case missingArm(String, known: [String])
    case missingRepeat(arm: String, wanted: Int, recorded: Int)

    public var description: String {
        switch self {
        case .results(let error): error.description
        case .scenario(let error): error.description
        case .profile(let error): error.description
        case .noProfile(let path, let arm):
            "\(path): arm \(arm) has no profile of hardware, which its estimates would be made from"
        case .missingArm(let name, let known):
            "the recorded costs have no arm \(name), only " + known.joined(separator: ", ")
        case .missingRepeat(let arm, let wanted, let recorded):
            "arm \(arm) was recorded \(recorded) times, but repeat \(wanted) is to be replayed"
        }
    }
}
