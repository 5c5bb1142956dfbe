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
        /// Whether a task shall have its node to itself.
        public var isExclusive = false

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
        #SBATCH {{exclusive}}
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
    private let place: String
    private let name: String

    /// - Parameters:
    ///   - name: of the jobs; no other submission has it.
    ///   - template: the array's script with placeholders, and what it is called in errors.
    ///   - place: the submission's folder, for scripts, points and logs.
    ///   - worker: the command that runs points; the list of them and `--chunk` are added.
    ///   - merge: the command that merges.
    /// - Throws: `SweepError.template` if the template has placeholders that do not exist, or not those that it must have.
    public init(
        name: String, points: Int, _ request: Request, template: (text: String, path: String), at place: String,
        directory: String, worker: [String], merge: [String]
    ) throws(SweepError) {
        tasks = Self.tasks(for: points, pointsEach: request.pointsPerTask)
        self.place = place
        self.name = name
        let worker = worker + ["--points-file", Self.pointsFile(at: place)]
        let values = [
            "name": name, "last_task": "\(tasks - 1)", "tasks": "\(tasks)", "partition": request.partition,
            "time": request.time, "memory": request.memory, "processors": "\(request.processors)",
            "exclusive": request.isExclusive ? "--exclusive" : "", "directory": directory, "logs": place,
            "worker": worker.map(Self.quoted).joined(separator: " "),
        ]
        array = try SlurmTemplate(template.text, path: template.path).filled(
            with: values, requiring: ["worker", "last_task", "tasks"])
        let merging = values.merging(["merge": merge.map(Self.quoted).joined(separator: " ")]) { old, _ in old }
        self.merge = try SlurmTemplate(Self.mergeTemplate, path: "the template of the merge").filled(
            with: merging, requiring: ["merge"])
    }

    /// Tasks that so many points make.
    public static func tasks(for points: Int, pointsEach: Int?) -> Int {
        let size = max(pointsEach ?? 1, (points + mostTasks - 1) / mostTasks, 1)
        return max(1, (points + size - 1) / size)
    }

    /// A word as the shell takes it.
    static func quoted(_ word: String) -> String {
        let plain = word.unicodeScalars.allSatisfy {
            CharacterSet.alphanumerics.contains($0) || "/._-+=:,@%".unicodeScalars.contains($0)
        }
        return plain && !word.isEmpty ? word : "'" + word.replacingOccurrences(of: "'", with: "'\\''") + "'"
    }

    /// Writes the points and both scripts, and submits them. If the second is refused, the first is taken back.
    public func submit(_ points: [SweepPoint]) throws(SweepError) -> SlurmSubmission {
        try PointsFile.write(points, to: Self.pointsFile(at: place))
        let (arrayScript, mergeScript) = (place + "/array.sh", place + "/merge.sh")
        try SweepFolder.write(array, to: arrayScript)
        try SweepFolder.write(merge, to: mergeScript)
        var submission = SlurmSubmission(place: place, name: name, array: nil, merge: nil, tasks: tasks)
        try submission.keep()
        // A template may name its jobs otherwise.
        let job = try SlurmCommand.submit(arrayScript, ["--job-name=\(name)"])
        do {
            submission.array = job
            try submission.keep()
            // The merge shows what there is, whatever became of the tasks.
            submission.merge = try SlurmCommand.submit(
                mergeScript, ["--dependency=afterany:\(job)", "--job-name=\(SlurmSubmission.mergeName(of: name))"])
            try submission.keep()
        } catch {
            let end =
                SlurmCommand.cancel(job)
                ? "job \(job), the array of points, was cancelled"
                : "job \(job), the array of points, could not be cancelled and goes on; scancel \(job) ends it"
            throw .slurm("\(error); \(end)")
        }
        return submission
    }

    /// The points that tasks have between them.
    static func pointsFile(at place: String) -> String { place + "/points.tsv" }
}
