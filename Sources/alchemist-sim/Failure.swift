import AlchemistSim
import ArgumentParser
import Engine
import Foundation
import MeasuredBackend
import Results
import Simulator

/// How a command ended other than well; codes as in sysexits.h.
enum ExitStatus: Int32 {
    case usage = 64
    case badData = 65
    case software = 70
    case inputOutput = 74
    case simulatedResource = 75
    case interrupted = 130
}

/// An error with its one line for the user and its exit code.
struct Failure: Error {
    let message: String
    let code: ExitStatus

    init(_ message: String, _ code: ExitStatus) {
        self.message = message
        self.code = code
    }

    /// The failure that `error` means.
    init(_ error: any Error) {
        switch error {
        case let failure as Failure: self = failure
        case let error as ScenarioError:
            // A mistake on the command line is one of usage, wherever else the same words would be bad data.
            if case .option = error.origin, !error.isInputOutput {
                self.init(error.description, .usage)
            } else {
                self.init(error.description, error.isInputOutput ? .inputOutput : .badData)
            }
        case let error as TraceError: self.init(error.description, error.isInputOutput ? .inputOutput : .badData)
        case let error as CheckpointError: self.init(error.description, error.isInputOutput ? .inputOutput : .badData)
        case let error as ExperimentError:
            switch error {
            case .arm(_, .tooLittleMemory), .arm(_, .tooLittleBlockMemory):
                self.init(error.description, .simulatedResource)
            case .arm(_, .brokenLaw), .brokenLaw: self.init(error.description, .software)
            case .arm(_, .diverged), .arm(_, .tooManyLayers): self.init(error.description, .badData)
            case .pricing(_, .belowFloor): self.init(error.description, .software)
            case .pricing(_, .missingShape): self.init(error.description, .badData)
            case .profile(let error): self.init(error)
            case .checkpoint(let error): self.init(error)
            case .scenario(let error): self.init(error)
            case .unknownModel: self.init(error.description, .badData)
            case .foreignProfile: self.init(error.description, .usage)
            }
        case let error as ProfileError: self.init(error.description, error.isInputOutput ? .inputOutput : .badData)
        case let error as RecordingError:
            switch error {
            case .results(let error): self.init(error)
            case .scenario, .profile, .noProfile, .missingArm, .missingRepeat: self.init(error.description, .badData)
            }
        case let error as SweepError:
            if case .usage = error {
                self.init(error.description, .usage)
            } else {
                self.init(error.description, error.isInputOutput ? .inputOutput : .badData)
            }
        case is PointRunner.Interrupted: self.init("interrupted", .interrupted)
        case let error as VerificationError:
            if case .memory = error {
                self.init(error.description, .simulatedResource)
            } else {
                self.init(error.description, .usage)
            }
        case let error as PretrainingError:
            switch error {
            case .option: self.init(error.description, .usage)
            case .diverged, .foreignFolder, .otherSettings: self.init(error.description, .badData)
            }
        case let error as SimulationError: self.init(error.description, .software)
        case let error as MeasuredBackendError: self.init("broken law: \(error)", .software)
        case let error as ResultsError: self.init(error.description, .inputOutput)
        default: self.init("\(error)", .software)
        }
    }
}

extension Failure {
    /// A broken law's state is kept, beside `results` if there are to be any; other errors stay what they are.
    static func keepingState(of error: any Error, beside results: String?) -> any Error {
        guard case ExperimentError.brokenLaw(let broken) = error else { return error }
        return Failure("\(broken); \(broken.save(beside: results))", .software)
    }
}

/// What the user sees.
enum Terminal {
    static func fail(_ message: String, _ code: ExitStatus) -> Never {
        warn("alchemist-sim: \(message)\n")
        exit(code.rawValue)
    }

    /// Gives standard streams that are closed to a device that can not be written to, so that no file that is opened takes
    /// their place and gets what is meant for the terminal.
    static func holdDescriptors() {
        for descriptor in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] where fcntl(descriptor, F_GETFD) < 0 {
            _ = open("/dev/null", O_RDONLY)
        }
    }

    /// Writes to standard error; there is nobody to tell if that fails.
    static func warn(_ text: String) { _ = write(text, to: STDERR_FILENO) }

    /// Prints to standard output; a closed pipe or a full disk is an error and not silence.
    static func print(_ text: String) throws {
        if let code = write(text, to: STDOUT_FILENO) {
            throw Failure("standard output: \(String(cString: strerror(code)))", .inputOutput)
        }
    }

    /// Writes all of `text`; returns the system's error code if that fails.
    private static func write(_ text: String, to descriptor: Int32) -> Int32? {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 {
                if errno == EINTR { continue }
                return errno
            }
            rest = rest.dropFirst(count)
        }
        return nil
    }

    static var errorIsTerminal: Bool { isatty(STDERR_FILENO) == 1 }
}
