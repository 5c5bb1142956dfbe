import AlchemistSim
import ArgumentParser
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
        case let error as ScenarioError: self.init(error.description, error.isInputOutput ? .inputOutput : .badData)
        case let error as TraceError: self.init(error.description, error.isInputOutput ? .inputOutput : .badData)
        case let error as ExperimentError:
            switch error {
            case .arm(_, .tooLittleMemory): self.init(error.description, .simulatedResource)
            case .arm(_, .brokenLaw): self.init(error.description, .software)
            case .scenario, .unknownModel: self.init(error.description, .badData)
            }
        case let error as SimulationError: self.init(error.description, .software)
        case let error as MeasuredBackendError: self.init(error.description, .software)
        case let error as ResultsError: self.init(error.description, .inputOutput)
        default: self.init("\(error)", .software)
        }
    }
}

/// What the user sees.
enum Terminal {
    static func fail(_ message: String, _ code: ExitStatus) -> Never {
        warn("alchemist-sim: \(message)")
        exit(code.rawValue)
    }

    static func warn(_ line: String) { fputs(line + "\n", stderr) }

    /// Prints to standard output; a closed pipe or a full disk is an error and not silence.
    static func print(_ text: String) throws {
        guard fputs(text, stdout) >= 0, fflush(stdout) == 0 else {
            throw Failure("standard output: \(String(cString: strerror(errno)))", .inputOutput)
        }
    }

    static var errorIsTerminal: Bool { isatty(STDERR_FILENO) == 1 }
}
