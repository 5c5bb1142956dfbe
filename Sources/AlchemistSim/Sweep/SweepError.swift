internal import Foundation
public import Results

/// What stands in the way of a sweep as a whole.
public enum SweepError: Error, Sendable, CustomStringConvertible {
    /// Another process is at work in the folder.
    case locked(path: String, holder: String)
    /// An id that the experiment does not have.
    case noSuchPoint(String)
    /// A mistake on the command line.
    case usage(String)
    /// A call of the operating system failed with this `errno`.
    case system(action: String, path: String, code: Int32)
    /// A template of a job's script that would not do what it should.
    case template(path: String, line: Int?, problem: String)
    /// A file of the sweep's could not be written.
    case results(ResultsError)
    /// A program of the cluster could not be run, or refused.
    case slurm(String)

    public var isInputOutput: Bool {
        switch self {
        case .system, .results, .locked, .slurm: true
        case .noSuchPoint, .usage, .template: false
        }
    }

    public var description: String {
        switch self {
        case .locked(let path, let holder):
            "\(path): another sweep is at work in this folder: \(holder); wait for it, end it, or use another folder (-o)"
        case .noSuchPoint(let id):
            "there is no point `\(id.safeExcerpt)` in this experiment, expected an id that --list shows; was the "
                + "experiment changed since?"
        case .usage(let problem): problem
        case .template(let path, let line, let problem): path + (line.map { ":\($0)" } ?? "") + ": " + problem
        case .system(let action, let path, let code): "\(path): cannot \(action): \(String(cString: strerror(code)))"
        case .results(let error): error.description
        case .slurm(let problem): problem
        }
    }
}
