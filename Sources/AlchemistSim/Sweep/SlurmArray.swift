internal import Foundation

/// A sweep as an array of jobs for Slurm: each task is a worker with a chunk of the points; a job after them merges.
public struct SlurmArray: Sendable {
    /// What the cluster is asked for. What is empty is left to its defaults.
    public struct Request: Sendable {
        public var partition = ""
        public var time = ""
        public var memory = ""
        public var processors = 1
        public var pointsPerTask: Int?

        public init() {}
    }

    /// The script of the array. A line whose placeholder stands for nothing is left out.
    public static let template = """
        #!/bin/bash
        #SBATCH --job-name={{name}}
        #SBATCH --array=0-{{last_task}}
        #SBATCH --partition={{partition}}
        #SBATCH --time={{time}}
        #SBATCH --mem={{memory}}
        #SBATCH --cpus-per-task={{processors}}
        #SBATCH --chdir={{directory}}
        #SBATCH --output={{logs}}/%A_%a.log
        exec {{worker}} --chunk "$SLURM_ARRAY_TASK_ID/{{tasks}}"
        """

    private static let mergeTemplate = """
        #!/bin/bash
        #SBATCH --job-name={{name}}-merge
        #SBATCH --partition={{partition}}
        #SBATCH --time={{time}}
        #SBATCH --mem={{memory}}
        #SBATCH --cpus-per-task=1
        #SBATCH --chdir={{directory}}
        #SBATCH --output={{logs}}/%A_merge.log
        exec {{merge}}
        """

    /// Slurm's own default of `MaxArraySize`, less one.
    private static let mostTasks = 1000

    public let tasks: Int
    public let array: String
    public let merge: String

    /// - Parameters:
    ///   - worker: the command that runs points of `points.tsv` in the Slurm folder; `--chunk` is added.
    ///   - merge: the command that merges.
    public init(
        name: String, points: Int, _ request: Request, template: String, in folder: SweepFolder, directory: String,
        worker: [String], merge: [String]
    ) {
        let size = max(request.pointsPerTask ?? 1, (points + Self.mostTasks - 1) / Self.mostTasks, 1)
        tasks = max(1, (points + size - 1) / size)
        let values = [
            "name": name, "last_task": "\(tasks - 1)", "tasks": "\(tasks)", "partition": request.partition,
            "time": request.time, "memory": request.memory, "processors": "\(request.processors)",
            "directory": directory, "logs": folder.slurm, "worker": worker.map(Self.quoted).joined(separator: " "),
            "merge": merge.map(Self.quoted).joined(separator: " "),
        ]
        array = Self.fill(template, values)
        self.merge = Self.fill(Self.mergeTemplate, values)
    }

    private static func fill(_ template: String, _ values: [String: String]) -> String {
        var lines: [String] = []
        for line in template.split(separator: "\n", omittingEmptySubsequences: false) {
            var filled = String(line)
            var isEmpty = false
            for (name, value) in values where filled.contains("{{\(name)}}") {
                if value.isEmpty { isEmpty = true }
                filled = filled.replacingOccurrences(of: "{{\(name)}}", with: value)
            }
            if !isEmpty { lines.append(filled) }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// A word as the shell takes it.
    static func quoted(_ word: String) -> String {
        let plain = word.unicodeScalars.allSatisfy {
            CharacterSet.alphanumerics.contains($0) || "/._-+=:,@%".unicodeScalars.contains($0)
        }
        return plain && !word.isEmpty ? word : "'" + word.replacingOccurrences(of: "'", with: "'\\''") + "'"
    }

    /// Writes the points and both scripts, and submits them.
    ///
    /// - Returns: the numbers of both jobs.
    public func submit(_ points: [SweepPoint], in folder: SweepFolder) throws(SweepError) -> (array: Int, merge: Int) {
        try SweepFolder.makeFolder(folder.slurm)
        try PointsFile.write(points, to: Self.pointsFile(in: folder))
        let (arrayScript, mergeScript) = (folder.slurm + "/array.sh", folder.slurm + "/merge.sh")
        try SweepFolder.write(array, to: arrayScript)
        try SweepFolder.write(merge, to: mergeScript)
        let job = try Self.submit(["sbatch", "--parsable", arrayScript])
        // The merge shows what there is, whatever became of the tasks.
        let after = try Self.submit(["sbatch", "--parsable", "--dependency=afterany:\(job)", mergeScript])
        return (job, after)
    }

    /// The points that tasks have between them.
    public static func pointsFile(in folder: SweepFolder) -> String { folder.slurm + "/points.tsv" }

    private static func submit(_ command: [String]) throws(SweepError) -> Int {
        let (status, output, errors) = try run(command)
        guard status == 0, let job = Int(output.split(separator: ";").first.map { $0.trimmed } ?? "") else {
            throw .slurm("sbatch refused \(command.last ?? ""): \((errors.isEmpty ? output : errors).trimmed)")
        }
        return job
    }

    /// Whether any of the jobs is still waiting or running. If Slurm does not answer, that is not known, and they are
    /// taken to be.
    ///
    /// - Returns: how many tasks are in each state.
    public static func states(of jobs: [Int]) throws(SweepError) -> [String: Int]? {
        var counts: [String: Int] = [:]
        for job in jobs {
            let (status, output, errors) = try run(["squeue", "--noheader", "--array", "--format=%T", "--jobs=\(job)"])
            guard status == 0 else {
                // Jobs that are long over are forgotten.
                if errors.contains("Invalid job id") { continue }
                return nil
            }
            for line in output.split(separator: "\n") { counts[line.trimmed, default: 0] += 1 }
        }
        return counts
    }

    /// Takes jobs back.
    public static func cancel(_ jobs: [Int]) {
        _ = try? run(["scancel"] + jobs.map(String.init))
    }

    private static func run(_ command: [String]) throws(SweepError) -> (status: Int32, output: String, errors: String) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = command
        let (output, errors) = (Pipe(), Pipe())
        process.standardOutput = output
        process.standardError = errors
        process.standardInput = FileHandle.nullDevice
        do {
            try process.run()
        } catch {
            throw .slurm("\(command[0]) can not be run: \(error.localizedDescription)")
        }
        // What these commands say fits a pipe, so that one after the other can be read.
        let said = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        let complained = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        if process.terminationStatus == 127 {
            throw .slurm("found no \(command[0]), expected Slurm's commands in PATH for --slurm")
        }
        return (process.terminationStatus, said, complained)
    }
}
