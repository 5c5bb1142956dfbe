internal import Foundation

/// The jobs of one submission. The last one's stand in `slurm/jobs` of the sweep's folder, its scripts, its list of points
/// and its logs in a folder `slurm/N` of its own, so that a later one changes nothing under tasks that wait.
public struct SlurmSubmission: Sendable, Equatable {
    /// The folder with its scripts, points and logs.
    public let place: String
    /// What the array's job is called: no other submission's is. Noted before it is submitted, so that it is found even if
    /// whoever submits it is killed before the number is noted.
    public let name: String
    /// The number of the array's job, and of the one that merges; nil until it is submitted.
    public var array: Int?
    public var merge: Int?
    public let tasks: Int

    private var mergeName: String { Self.mergeName(of: name) }
    static func mergeName(of name: String) -> String { name + "-merge" }

    /// The array, as it can be told to a user.
    public var job: String { array.map { "job \($0)" } ?? "job \(name)" }
    /// Both jobs, for scancel.
    public var words: String {
        guard let array else { return "--name=\(name)" }
        return "\(array)" + (merge.map { " \($0)" } ?? "")
    }

    /// The last one; nil if there was none.
    public static func last(in folder: SweepFolder) throws(SweepError) -> SlurmSubmission? {
        let path = file(folder.slurm)
        guard access(path, F_OK) == 0 else { return nil }
        guard let line = try PointsFile.lines(of: path).last else { return nil }
        let fields = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
        guard fields.count == 5, fields[1].isEmpty || Int(fields[1]) != nil, let tasks = Int(fields[3]) else {
            throw .slurm("\(path): found `\(line.safeExcerpt)`, expected a folder and the numbers of its jobs")
        }
        return SlurmSubmission(
            place: folder.slurm + "/" + fields[0], name: fields[4], array: Int(fields[1]), merge: Int(fields[2]),
            tasks: tasks)
    }

    private static func file(_ slurm: String) -> String { slurm + "/jobs" }

    /// Remembers it as the last one.
    func keep() throws(SweepError) {
        let place = URL(fileURLWithPath: place)
        try SweepFolder.write(
            "\(place.lastPathComponent)\t\(array.map(String.init) ?? "")\t\(merge.map(String.init) ?? "")\t\(tasks)\t"
                + "\(name)\n",
            to: Self.file(place.deletingLastPathComponent().path))
    }

    /// Takes the numbers of its jobs from Slurm, where they are not known.
    public mutating func locate() throws(SweepError) {
        guard array == nil || merge == nil else { return }
        let (status, output, _) = try SlurmCommand.run([
            "squeue", "--noheader", "--format=%F %j", "--name=\(name),\(mergeName)",
        ])
        guard status == 0 else { return }
        for line in output.split(separator: "\n") {
            let words = line.split(separator: " ").map(String.init)
            guard words.count == 2, let number = Int(words[0]) else { continue }
            if words[1] == name { array = number } else if words[1] == mergeName { merge = number }
        }
    }

    /// A new folder for a submission.
    public static func newPlace(in folder: SweepFolder) throws(SweepError) -> String {
        try SweepFolder.makeFolder(folder.slurm)
        for number in 1... {
            let place = "\(folder.slurm)/\(number)"
            if mkdir(place, 0o777) == 0 { return place }
            guard errno == EEXIST else { throw .system(action: "make this folder", path: place, code: errno) }
        }
        throw .system(action: "make one more folder", path: folder.slurm, code: EMLINK)
    }

    /// How many tasks wait or run, by their state; none once both jobs are over, nil if Slurm does not answer.
    public func states() throws(SweepError) -> [String: Int]? {
        // What may have been submitted without its number being noted is asked for by name.
        let jobs =
            if let array, let merge { "--jobs=\(array),\(merge)" } else { "--name=\(name),\(mergeName)" }
        let (status, output, errors) = try SlurmCommand.run(["squeue", "--noheader", "--array", "--format=%T", jobs])
        guard status == 0 else {
            // Jobs that are long over are forgotten.
            return errors.contains("Invalid job id") ? [:] : nil
        }
        var counts: [String: Int] = [:]
        for line in output.split(separator: "\n") { counts[line.trimmed, default: 0] += 1 }
        return counts
    }
}

/// Slurm's own commands.
enum SlurmCommand {
    /// - Returns: the number of the job that a script was submitted as.
    static func submit(_ script: String, _ options: [String] = []) throws(SweepError) -> Int {
        let (status, output, errors) = try run(["sbatch", "--parsable"] + options + [script])
        guard status == 0, let job = Int(output.split(separator: ";").first.map { $0.trimmed } ?? "") else {
            throw .slurm("sbatch refused \(script): \((errors.isEmpty ? output : errors).trimmed)")
        }
        return job
    }

    /// Takes a job back; says whether that was possible.
    static func cancel(_ job: Int) -> Bool { (try? run(["scancel", "\(job)"]))?.status == 0 }

    static func run(_ command: [String]) throws(SweepError) -> (status: Int32, output: String, errors: String) {
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
        // What these commands complain about fits a pipe, so that one after the other can be read.
        let said = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        let complained = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        if process.terminationStatus == 127 {
            throw .slurm("found no \(command[0]), expected Slurm's commands in PATH for --slurm")
        }
        return (process.terminationStatus, said, complained)
    }
}
