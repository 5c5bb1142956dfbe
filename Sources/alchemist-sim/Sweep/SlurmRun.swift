import AlchemistSim
import Foundation
import Results

/// A sweep on a cluster: submits it, and follows it if asked to.
struct SlurmRun {
    /// Between two questions to Slurm.
    private static let seconds = 1.0
    /// How long Slurm may give no answer.
    private static let patience = 600.0

    private let session: SweepSession
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
        if options.printTemplate { return try Terminal.print(SlurmArray.template + "\n") }
        try session.folder.make()
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
        guard !remaining.isEmpty else { return try session.merge(points) }
        let array = SlurmArray(
            name: "sweep-" + session.experiment.name, points: remaining.count, request, template: try template(),
            in: absoluteFolder, directory: FileManager.default.currentDirectoryPath, worker: worker, merge: merge)
        let jobs = try array.submit(remaining, in: absoluteFolder)
        try Terminal.print(
            "submitted job \(jobs.array) with \(array.tasks) tasks for \(remaining.count) points, and job \(jobs.merge) "
                + "that merges\n")
        if options.wait { try follow([jobs.array, jobs.merge], points) }
    }

    private var request: SlurmArray.Request {
        var request = SlurmArray.Request()
        request.partition = options.partition ?? ""
        request.time = options.time ?? ""
        request.memory = options.memory ?? ""
        request.processors = options.processors
        request.pointsPerTask = options.pointsPerTask
        return request
    }

    private func template() throws -> String {
        guard let path = options.template else { return SlurmArray.template }
        do {
            return try String(contentsOfFile: path, encoding: .utf8)
        } catch {
            throw Failure("\(path): cannot read the template: \(error.localizedDescription)", .inputOutput)
        }
    }

    private var absoluteFolder: SweepFolder {
        SweepFolder(URL(fileURLWithPath: session.folder.path).standardizedFileURL.path)
    }

    private var program: [String] {
        let path =
            (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
        return [path] + session.options.arguments(in: absoluteFolder.path)
            + (session.trusted == nil ? ["--any-build"] : [])
    }

    private var worker: [String] {
        let threads = threads ?? (session.experiment.isMeasured ? options.processors : nil)
        return program + (threads.map { ["--threads", "\($0)"] } ?? [])
            + (allowsSharing ? ["--allow-sharing"] : [])
            + ["--points-file", SlurmArray.pointsFile(in: absoluteFolder)]
    }

    private var merge: [String] { program + ["--merge"] }

    /// Waits for the jobs, then says how they went.
    private func follow(_ jobs: [Int], _ points: [SweepPoint]) throws {
        let clock = SweepSession.clock
        var lastAnswer = 0.0
        var shown = ""
        while true {
            if Interrupt.isRequested {
                throw Failure(
                    "interrupted; jobs \(jobs[0]) and \(jobs[1]) go on without this (scancel ends them)", .interrupted)
            }
            if let states = try SlurmArray.states(of: jobs) {
                lastAnswer = clock()
                if states.isEmpty { break }
                let text = states.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key.lowercased())" }
                    .joined(separator: ", ")
                if text != shown, !session.quiet { Terminal.warn("\(text)\n") }
                shown = text
            } else if clock() - lastAnswer > Self.patience {
                throw Failure(
                    "Slurm has not answered for \(Int(Self.patience)) s; the jobs may still go on", .inputOutput)
            }
            Thread.sleep(forTimeInterval: Self.seconds)
        }
        let state = try session.state(of: points)
        let log = "\(absoluteFolder.slurm)/\(jobs[1])_merge.log"
        if let text = try? String(contentsOfFile: log, encoding: .utf8) { try Terminal.print(text) }
        guard state.whole == points.count else {
            throw Failure(
                "\(points.count - state.whole) of \(points.count) points are not whole; \(absoluteFolder.slurm)/ and "
                    + "\(session.folder.path)/points/ID.log say why", state.failed > 0 ? .badData : .inputOutput)
        }
    }
}
