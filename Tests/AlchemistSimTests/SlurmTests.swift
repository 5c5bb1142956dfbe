import AlchemistSim
import Foundation
import Testing

/// Sweeps beside commands that stand for Slurm's; `make test-slurm` runs them beside a real one.
@Suite(.serialized) struct SlurmTests {
    private static let grid = """
        scenario: {model: llama-3-8b, backend: a100-80g, training.staleness: any}
        trace: {generate: {requests: 8, content: counts, feedback_rate: 1}}
        axes: {AXIS, seeds: 3}
        arms: [recompute, reuse]

        """

    /// A folder with an experiment, a sweep's folder, and Slurm's commands.
    private struct Cluster: ~Copyable {
        let folder: Folder
        let grid: String
        var output: String { folder.path("out") }

        /// - Parameters:
        ///   - runs: whether a job array is run to its end before sbatch returns; jobs that merge never are.
        ///   - refuses: the script that sbatch refuses.
        init(_ text: String, runs: Bool = true, refuses: String = "none") throws {
            let folder = try Folder()
            let grid = try folder.file("grid.yaml", text)
            let place = folder.path("bin")
            try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
            try Self.command(
                folder,
                "sbatch",
                """
                script=${@: -1}
                case $script in */\(refuses)) echo "sbatch: error: no such luck" >&2; exit 1;; esac
                number=$(($(cat number 2>/dev/null || echo 100) + 1)); echo $number >number
                cp "$script" job-$number.sh
                echo "$number;cluster"
                last=$(sed -n 's/^#SBATCH --array=0-//p' "$script")
                if [ -n "$last" ] && \(runs); then
                    for task in $(seq 0 $last); do SLURM_ARRAY_TASK_ID=$task bash "$script" >&2 || true; done
                fi
                """)
            try Self.command(folder, "squeue", "echo \"$@\" >>asked; cat queue 2>/dev/null || true")
            try Self.command(folder, "scancel", "echo \"$@\" >>cancelled")
            self.folder = folder
            self.grid = grid
        }

        static func command(_ folder: borrowing Folder, _ name: String, _ script: String) throws {
            let path = folder.path("bin/" + name)
            try "#!/bin/bash\ncd '\(folder.url.path)'\n\(script)\n".write(
                toFile: path, atomically: true, encoding: .utf8)
            #expect(chmod(path, 0o755) == 0)
        }

        func text(_ name: String) -> String {
            String(decoding: FileManager.default.contents(atPath: folder.path(name)) ?? Data(), as: UTF8.self)
        }

        func sweep(_ arguments: String...) throws -> Program.Outcome {
            let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
            return try Program.run(
                ["sweep", grid, "-o", output] + arguments, environment: ["PATH": folder.path("bin") + ":" + path])
        }
    }

    private static func grid(_ axis: String = "trace.rate: [1, 4]") -> String {
        Self.grid.replacingOccurrences(of: "AXIS", with: axis)
    }

    @Test func theMergedFileIsThereWhenTheJobThatMergesIsNot() throws {
        let cluster = try Cluster(Self.grid())
        let done = try cluster.sweep("--slurm", "--wait", "--points-per-task", "2")
        #expect(done.status == 0, "\(done.errors)")
        #expect(done.output.contains("submitted job 101 with 3 tasks for 6 points, and job 102 that merges"))
        #expect(done.output.contains("merged 6 of 6 points into"), "\(done.output)")
        #expect(FileManager.default.fileExists(atPath: cluster.output + "/merged.h5"))
        #expect(cluster.text("asked") == "--noheader --array --format=%T --jobs=101,102\n")
        // A file that an earlier sweep merged is no excuse.
        let id = try #require(try cluster.sweep("--list").output.split(separator: "\t").first)
        try FileManager.default.removeItem(atPath: "\(cluster.output)/points/\(id).point")
        try Data().write(to: URL(fileURLWithPath: cluster.output + "/merged.h5"))
        let again = try cluster.sweep("--slurm", "--wait")
        #expect(again.status == 0, "\(again.errors)")
        #expect(try Data(contentsOf: URL(fileURLWithPath: cluster.output + "/merged.h5")).count > 0)
    }

    @Test func itEndsAsOnThisMachine() throws {
        let cluster = try Cluster(Self.grid("device.memory: [80GiB, 1GiB]"))
        let through = try cluster.sweep("--slurm", "--wait")
        let local = try cluster.sweep("--quiet")
        #expect(local.status == 75, "\(local.errors)")
        #expect(through.status == local.status)
        #expect(through.errors.split(separator: "\n").last == local.errors.split(separator: "\n").last)
        #expect(through.output.contains("merged 3 of 6 points (3 failed)"), "\(through.output)")
    }

    @Test func tasksThatDidNotRunAreNamed() throws {
        let cluster = try Cluster(Self.grid(), runs: false)
        let done = try cluster.sweep("--slurm", "--wait")
        #expect(done.status == 74)
        #expect(done.errors.contains("6 of 6 points were not run to their end"), "\(done.errors)")
        #expect(done.errors.contains("slurm/1"))
        #expect(done.output.contains("merged 0 of 6 points (6 missing)"))
    }

    @Test func aSecondSubmissionIsRefusedOrFollowsTheFirst() throws {
        let cluster = try Cluster(Self.grid(), runs: false)
        #expect(try cluster.sweep("--slurm").status == 0)
        let points = cluster.text("out/slurm/1/points.tsv")
        #expect(points.split(separator: "\n").count == 6)
        let queue = try cluster.folder.file("queue", "PENDING\nRUNNING\n")
        let second = try cluster.sweep("--slurm")
        #expect(second.status == 74)
        #expect(second.errors.contains("job 101 of an earlier submission is not over yet"), "\(second.errors)")
        #expect(second.errors.contains("scancel 101 102"))
        // Once tasks are over, the rest is submitted, with a list of its own.
        try FileManager.default.removeItem(atPath: queue)
        let id = try #require(points.split(separator: "\t").first)
        #expect(try cluster.sweep("--point", String(id)).status == 0)
        let third = try cluster.sweep("--slurm")
        #expect(third.output.contains("submitted job 103 with 5 tasks for 5 points"), "\(third.output)")
        #expect(cluster.text("out/slurm/1/points.tsv") == points)
        #expect(cluster.text("out/slurm/2/points.tsv").split(separator: "\n").count == 5)
        #expect(cluster.text("job-103.sh").contains("--points-file \(cluster.output)/slurm/2/points.tsv --chunk"))
        // Who waits follows what is queued, which here is over at the second question.
        _ = try cluster.folder.file("queue", "PENDING\n")
        let running = try Running(["sweep", cluster.grid, "-o", cluster.output, "--slurm", "--wait"], cluster.folder)
        #expect(running.waits { $0.contains("1/6 points; 1 pending") })
        try FileManager.default.removeItem(atPath: queue)
        #expect(running.end() == 74)
        #expect(running.output.contains("following job 103, which was submitted before"))
        #expect(running.output.contains("merged 1 of 6 points (5 missing)"), "\(running.output)")
        #expect(cluster.text("number") == "104\n")
    }

    /// A kill between sbatch and the note of the job's number: the job is found by its name, which was noted before.
    @Test func aSubmissionThatWasKilledIsFoundByItsName() throws {
        let cluster = try Cluster(Self.grid(), runs: false)
        try Cluster.command(
            cluster.folder, "sbatch",
            """
            for word in "$@"; do case "$word" in --job-name=*) echo "${word#*=}" >submitted;; esac; done
            kill -9 $PPID
            """)
        try Cluster.command(
            cluster.folder, "squeue",
            """
            name=$(cat submitted)
            case "$*" in *"--name=$name,"*) ;; *) exit 0;; esac
            case "$*" in *%F*) echo "101 $name";; *) echo PENDING;; esac
            """)
        #expect(try cluster.sweep("--slurm").status == 137)
        let name = cluster.text("submitted").trimmingCharacters(in: .newlines)
        #expect(name.hasPrefix("sweep-grid-"), "\(name)")
        #expect(cluster.text("out/slurm/1/array.sh").contains("#SBATCH --job-name=\(name)\n"))
        let second = try cluster.sweep("--slurm")
        #expect(second.status == 74)
        #expect(second.errors.contains("job 101 of an earlier submission is not over yet"), "\(second.errors)")
        // Once it is over, the rest is submitted, under another name.
        try Cluster.command(cluster.folder, "squeue", "exit 0")
        #expect(try cluster.sweep("--slurm").status == 137)
        #expect(cluster.text("submitted").trimmingCharacters(in: .newlines) != name)
    }

    @Test func anArrayWhoseMergeIsRefusedIsCancelled() throws {
        let cluster = try Cluster(Self.grid(), runs: false, refuses: "merge.sh")
        let refused = try cluster.sweep("--slurm", "--wait")
        #expect(refused.status == 74)
        #expect(refused.errors.contains("no such luck"), "\(refused.errors)")
        #expect(refused.errors.contains("job 101, the array of points, was cancelled"), "\(refused.errors)")
        #expect(cluster.text("cancelled") == "101\n")
    }

    @Test func measuredPointsGetTheirProcessors() throws {
        let text = """
            scenario: {model: nano, threads: 2, training.audit_every: 0}
            trace: {generate: {requests: 4, scale: 0.1, max_context: 120, vocabulary: 512}}
            axes: {threads: [3, 8]}
            arms: [reuse]
            """
        let cluster = try Cluster(text, runs: false)
        let few = try cluster.sweep("--slurm", "--processors", "4")
        #expect(few.status == 64)
        #expect(few.errors.contains("--processors 4: points of this experiment are measured with 8 threads"))
        #expect(!FileManager.default.fileExists(atPath: cluster.output))
        #expect(try cluster.sweep("--slurm").status == 0)
        let script = cluster.text("job-101.sh")
        #expect(script.contains("#SBATCH --cpus-per-task=8\n#SBATCH --exclusive\n"), "\(script)")
        let modelled = try Cluster(Self.grid(), runs: false)
        #expect(try modelled.sweep("--slurm").status == 0)
        #expect(modelled.text("job-101.sh").contains("--cpus-per-task=1\n#SBATCH --chdir"))
    }

    @Test(
        arguments: [
            ("exec {{worker}} --chunk 0/{{tasks}}", "t.sh: found no {{last_task}}, expected {{worker}}"),
            (
                "#SBATCH --array=0-{{last_task}}\n{{workr}} {{tasks}}",
                "t.sh:2: found {{workr}}, expected one of {{directory}}, {{exclusive}}"
            ),
            ("{{last_task}} {{tasks}}\n{{workr}}", "did you mean {{worker}}?"),
            (
                "{{last_task}} {{tasks}}\n{{worker}} {{memory}}",
                "t.sh:2: found no {{worker}}: it stands on a line that is left out because {{memory}} stands for nothing"
            ),
        ])
    func mistakesInTemplates(text: String, message: String) throws {
        do {
            _ = try Self.array(text)
            Issue.record("accepted")
        } catch {
            #expect("\(error)".contains(message), "\(error)")
        }
    }

    @Test func valuesOfTemplatesAreTakenAsTheyAre() throws {
        let array = try Self.array(
            "#SBATCH --mem={{memory}}\n{{worker}} {{name}} ${X} {{ 1 }} {{name}}\n{{last_task}} {{tasks}}\n")
        #expect(
            array.array == "'run {{tasks}}' --points-file /p/points.tsv {{worker}} ${X} {{ 1 }} {{worker}}\n4 5\n",
            "\(array.array)")
    }

    private static func array(_ template: String) throws(SweepError) -> SlurmArray {
        try SlurmArray(
            name: "{{worker}}", points: 5, .init(), template: (template, "t.sh"), at: "/p", directory: "/",
            worker: ["run {{tasks}}"], merge: ["merge"])
    }
}
