import AlchemistSim
import ArgumentParser
import Foundation
import Results

struct SweepCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sweep",
        abstract: "Runs a scenario at every point of a grid, and merges what was found.",
        discussion: """
            An experiment's file names a scenario, a trace and axes; docs/sweeps.md describes it. Points that are whole \
            are never run again: the same command goes on where an earlier one was ended. Points run in worker processes \
            of this same command, which a scheduler can start as well: --point ID, or --points-file FILE --chunk I/N.

            EXAMPLES
              alchemist-sim sweep experiments/sweep.yaml
              alchemist-sim sweep experiments/sweep.yaml --dry-run
              alchemist-sim sweep experiments/sweep.yaml --list | xargs -d '\\n' -P2 -n1 \\
                alchemist-sim sweep experiments/sweep.yaml --point
              alchemist-sim sweep experiments/sweep.yaml --slurm --partition short --points-per-task 20 --wait

            Exit codes: those of `run`; if points failed, the highest of theirs.
            """)

    @OptionGroup var sweep: SweepOptions

    @Option(
        name: [.customShort("j", allowingJoined: true), .long],
        help: "Worker processes. (default: one for each processor; measured points: 1)")
    var jobs: Int?

    @Flag(help: "Let measured points run side by side, though they slow each other down.")
    var allowSharing = false

    @Option(help: "Threads of each measured point. (default: the scenario's; or the processors divided by --jobs)")
    var threads: Int?

    @Flag(help: "Count points that other builds of this program ran.")
    var anyBuild = false

    @Flag(name: .shortAndLong, help: "Show no progress.")
    var quiet = false

    @OptionGroup(title: "Instead of running") var instead: InsteadOptions

    @OptionGroup(title: "As a worker") var work: WorkerOptions

    @OptionGroup(title: "Slurm") var cluster: SlurmOptions

    func validate() throws {
        let mode = try SweepMode(instead, work, cluster)
        if mode != .template { try sweep.requireExperiment() }
        try mode.check(
            [
                ("--jobs", jobs != nil), ("--allow-sharing", allowSharing), ("--threads", threads != nil),
                ("--any-build", anyBuild), ("--chunk", work.chunk != nil),
            ] + cluster.given)
        for (name, value) in [
            ("--jobs", jobs), ("--threads", threads), ("--points-per-task", cluster.pointsPerTask),
            ("--processors", cluster.processorsOfTask),
        ] {
            if let value, value < 1 { throw ValidationError("\(name) \(value): expected at least 1.") }
        }
    }

    func run() throws {
        do {
            try act()
        } catch {
            throw Failure(error)
        }
    }

    private func act() throws {
        if cluster.printTemplate { return try Terminal.print(SlurmArray.template + "\n") }
        var session = try SweepSession(sweep, anyBuild: anyBuild, quiet: quiet)
        session.conditions = .init(threads: threads, isSharing: allowSharing ? true : nil)
        if !work.point.isEmpty || work.pointsFile != nil {
            return try SweepWorker(session, work, threads: threads, allowsSharing: allowSharing).run()
        }
        let points = try session.resolver.points()
        if instead.list { return try session.list(points) }
        if instead.dryRun {
            let layout: SweepEstimate.Layout
            var threads = threads
            if cluster.slurm {
                layout = .tasks(pointsEach: cluster.pointsPerTask)
                threads = threads ?? cluster.processorsOfTask
                session.conditions = .init(threads: threads, isSharing: allowSharing)
            } else {
                let jobs = try resolvedJobs(session)
                layout = .jobs(jobs)
                threads = LocalSweep.threads(threads, of: session.experiment, jobs: jobs)
                session.conditions = .here(threads: threads, isSharing: allowSharing)
            }
            return try SweepEstimate(session, points, layout, threads: threads).show()
        }
        if instead.merge { return try session.mergeAlone(points) }
        if cluster.slurm {
            return try SlurmRun(session, cluster, threads: threads, allowsSharing: allowSharing).run(points)
        }
        try LocalSweep(session, jobs: try resolvedJobs(session), threads: threads, allowsSharing: allowSharing).run(
            points)
    }

    /// How many workers there are; measured points get one unless the user says that they may disturb each other.
    private func resolvedJobs(_ session: SweepSession) throws -> Int {
        let processors = ProcessInfo.processInfo.activeProcessorCount
        let jobs = jobs ?? (session.experiment.isMeasured ? 1 : processors)
        guard session.experiment.isMeasured, !allowSharing, jobs > 1 else { return jobs }
        throw Failure(
            "--jobs \(jobs): points of this experiment are measured, and would slow each other down; expected --jobs 1, "
                + "or --allow-sharing", .usage)
    }
}

/// What every way of running an experiment needs.
struct SweepOptions: ParsableArguments {
    @Argument(
        help: ArgumentHelp("An experiment in YAML; docs/sweeps.md describes it.", valueName: "experiment"))
    var path: String?

    var experiment: String { path ?? "" }

    /// All ways but those that print something of no experiment need one.
    func requireExperiment() throws {
        if path == nil { throw ValidationError("Missing expected argument '<experiment>'") }
    }

    @Option(name: .shortAndLong, help: "The folder for what is found. (default: results/<name of the experiment>)")
    var output: String?

    @Option(
        name: [.customLong("set")], parsing: .singleValue,
        help: ArgumentHelp(
            "Set a field of the scenario, of one of its arms, or of the trace; may be given again.",
            valueName: "field=value"))
    var settings: [String] = []

    func read() throws -> SweepExperiment {
        var experiment = try SweepExperiment(contentsOf: self.experiment)
        for setting in settings {
            let parts = setting.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2 else { throw Failure("--set \(setting): expected field=value", .usage) }
            try experiment.set(String(parts[0]), to: String(parts[1]), at: .option("--set"))
        }
        return experiment
    }

    /// The arguments that make another process of this command see the same points.
    func arguments(in folder: String) -> [String] {
        ["sweep", experiment, "-o", folder] + settings.flatMap { ["--set", $0] }
    }
}

struct InsteadOptions: ParsableArguments {
    @Flag(help: "Print the points: id, what became of it, where it stands, and its cell, between tabs.")
    var list = false

    @Flag(
        help: "Say how many points are left and what they would take here or, with --slurm, a task; write nothing.")
    var dryRun = false

    @Flag(help: "Merge what there is, and run nothing.")
    var merge = false
}

struct WorkerOptions: ParsableArguments {
    @Option(
        parsing: .upToNextOption,
        help: "Run these points only, by id or by their lines of --list: a line spares working out the whole grid.")
    var point: [String] = []

    @Option(
        help:
            "Run the points listed in a file, as --list does or by id; - for standard input, one line after the other as it comes."
    )
    var pointsFile: String?

    @Option(help: ArgumentHelp("Of the file, every N-th point from the I-th on, counted from 0.", valueName: "I/N"))
    var chunk: String?

    /// The sweep that this is a worker of: it holds the lock, and its end is this one's.
    @Option(help: .hidden)
    var parent: Int32?
}

struct SlurmOptions: ParsableArguments {
    @Flag(help: "Submit a job array, and a job after it that merges.")
    var slurm = false

    @Flag(help: "Follow the jobs to their end.")
    var wait = false

    @Option(help: "Points of one task of the array. (default: 1, or as many as keep tasks below 1000)")
    var pointsPerTask: Int?

    @Option(help: "Partition.")
    var partition: String?

    @Option(help: "Time limit of a task, as Slurm has it.")
    var time: String?

    @Option(help: "Memory of a task, as Slurm has it.")
    var memory: String?

    @Option(
        name: .customLong("processors"),
        help: "Processors of a task. (default: the threads of its measured points, or 1)")
    var processorsOfTask: Int?

    @Option(help: "A template of the array's script instead of the standard one, which --print-template shows.")
    var template: String?

    @Flag(help: "Print the standard template, and do nothing else.")
    var printTemplate = false

    /// Options that say how to submit, and whether they were given.
    var given: [(String, Bool)] {
        [
            ("--wait", wait), ("--points-per-task", pointsPerTask != nil), ("--partition", partition != nil),
            ("--time", time != nil), ("--memory", memory != nil), ("--processors", processorsOfTask != nil),
            ("--template", template != nil),
        ]
    }
}
