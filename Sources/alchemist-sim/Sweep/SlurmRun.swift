import AlchemistSim
import Foundation
import Results

/// A sweep on a cluster: submits it, and follows it if asked to.
struct SlurmRun {
    private var session: SweepSession
    private let options: SlurmOptions
    private let threads: Int?
    private let allowsSharing: Bool

    init(_ session: SweepSession, _ options: SlurmOptions, threads: Int?, allowsSharing: Bool) {
        self.allowsSharing = allowsSharing
        self.session = session
        self.options = options
        self.threads = threads
    }

    func run(_ points: [SweepPoint]) throws {
        let processors = try processors(for: points)
        var run = self
        // On which processors tasks will run is not known here.
        run.session.conditions = .init(threads: threads ?? processors, isSharing: allowsSharing)
        try run.submit(points, processors: processors)
    }

    /// What came of the attempt to submit.
    private enum Submitted {
        case nothingLeft
        case earlier(SlurmSubmission)
        case now(SlurmSubmission, points: Int)
    }

    private func submit(_ points: [SweepPoint], processors: Int) throws {
        try session.folder.make()
        try FileManager.default.createDirectory(atPath: absoluteFolder.slurm, withIntermediateDirectories: true)
        // One submission at a time. The tasks need the folder's own lock as soon as they start.
        let submitted = try FolderLock.holding(absoluteFolder.slurm + "/.lock") {
            try submitAlone(points, processors: processors)
        }
        switch submitted {
        case .nothingLeft: try session.mergeLocked(points)
        case .earlier(let submission):
            guard options.wait else {
                throw Failure(
                    "\(session.folder.path): \(submission.job) of an earlier submission is not over yet; --wait "
                        + "follows it, scancel \(submission.words) ends it", .inputOutput)
            }
            try Terminal.print("following \(submission.job), which was submitted before\n")
            try SlurmFollowing(session, absoluteFolder).follow(submission, points)
        case .now(let submission, let count):
            try Terminal.print(
                "submitted \(submission.job) with \(submission.tasks) tasks for \(count) points, and job "
                    + "\(submission.merge ?? 0) that merges\n")
            if options.wait { try SlurmFollowing(session, absoluteFolder).follow(submission, points) }
        }
    }

    private func submitAlone(_ points: [SweepPoint], processors: Int) throws -> Submitted {
        if var last = try SlurmSubmission.last(in: absoluteFolder) {
            guard let states = try last.states() else {
                throw Failure(
                    "squeue does not answer whether \(last.job) of an earlier submission is over; expected an "
                        + "answer before more is submitted", .inputOutput)
            }
            if !states.isEmpty {
                try last.locate()
                return .earlier(last)
            }
        }
        let remaining: [SweepPoint]
        do {
            let lock = try session.lock(.alone)
            defer { withExtendedLifetime(lock) {} }
            session.folder.removeRemains()
            try PointsFile.write(points, to: session.folder.pointsFile)
            let state = try session.state(of: points)
            try session.describe(state)
            remaining = state.remaining
        }
        guard !remaining.isEmpty else { return .nothingLeft }
        let place = try SlurmSubmission.newPlace(in: absoluteFolder)
        let array = try SlurmArray(
            name: Self.jobName(for: session.experiment), points: remaining.count, request(processors: processors),
            template: try template(), at: place, directory: FileManager.default.currentDirectoryPath,
            worker: worker(processors: processors), merge: merge(processors: processors))
        return .now(try array.submit(remaining), points: remaining.count)
    }

    /// A name that no other submission's jobs have, of characters that squeue takes in a list.
    private static func jobName(for experiment: SweepExperiment) -> String {
        let name = experiment.name.map { $0.isASCII && ($0.isLetter || $0.isNumber || "._-".contains($0)) ? $0 : "-" }
        return "sweep-" + String(name) + "-" + String(UInt64.random(in: .min ... .max), radix: 16)
    }

    /// Processors of a task: as many as its points have threads.
    private func processors(for points: [SweepPoint]) throws -> Int {
        let asked = points.compactMap { point in point.measuredThreads.map { $0 > 0 ? $0 : threads ?? 0 } }.max() ?? 0
        let processors = options.processorsOfTask ?? max(1, asked)
        guard processors >= asked else {
            throw Failure(
                "--processors \(processors): points of this experiment are measured with \(asked) threads, expected at "
                    + "least as many processors", .usage)
        }
        return processors
    }

    private func request(processors: Int) -> SlurmArray.Request {
        var request = SlurmArray.Request()
        request.partition = options.partition ?? ""
        request.time = options.time ?? ""
        request.memory = options.memory ?? ""
        request.processors = processors
        request.pointsPerTask = options.pointsPerTask
        request.isExclusive = session.experiment.isMeasured && !allowsSharing
        return request
    }

    private func template() throws -> (text: String, path: String) {
        guard let path = options.template else { return (SlurmArray.template, "the standard template") }
        do {
            return (try String(contentsOfFile: path, encoding: .utf8), path)
        } catch {
            throw Failure("\(path): cannot read the template: \(error.localizedDescription)", .inputOutput)
        }
    }

    private var absoluteFolder: SweepFolder {
        SweepFolder(URL(fileURLWithPath: session.folder.path).standardizedFileURL.path)
    }

    private func program(processors: Int) -> [String] {
        let path =
            (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
        return [path] + session.options.arguments(in: absoluteFolder.path)
            + (session.trusted == nil ? ["--any-build"] : [])
            + (session.experiment.isMeasured ? ["--threads", "\(threads ?? processors)"] : [])
            + (allowsSharing ? ["--allow-sharing"] : [])
    }

    private func worker(processors: Int) -> [String] { program(processors: processors) }

    private func merge(processors: Int) -> [String] { program(processors: processors) + ["--merge"] }
}
