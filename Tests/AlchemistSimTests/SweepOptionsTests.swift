import AlchemistSim
import Foundation
import Results
import Testing

/// Sweeps from outside: options, and estimates.
@Suite(.serialized) struct SweepOptionsTests {
    @Test(
        "options that would be ignored are refused",
        arguments: [
            (["--points-per-task", "2"], "--points-per-task: expected only with --slurm"),
            (["--partition", "short"], "--partition: expected only with --slurm"),
            (["--wait"], "--wait: expected only with --slurm"), (["--time", "5"], "--time: expected only"),
            (["--memory", "4G"], "--memory: expected only"), (["--template", "x"], "--template: expected only"),
            (["--processors", "2"], "--processors: expected only"),
            (["--list", "--processors", "2"], "--processors: --list makes no use of it"),
            (["--slurm", "--jobs", "2"], "--jobs: --slurm makes no use of it"),
            (["--merge", "--jobs", "2"], "--jobs: --merge makes no use of it"),
            (["--list", "--jobs", "2"], "--jobs: --list makes no use of it"),
            (["--slurm", "--processors", "0"], "--processors 0: expected at least 1"),
            (["--dry-run", "--memory", "1G"], "--memory: --dry-run makes no use of it"),
            (["--slurm", "--dry-run", "--jobs", "2"], "--jobs: --slurm --dry-run makes no use of it"),
            (["--chunk", "0/2"], "--chunk: expected only with --points-file"),
            (["--list", "--print-template"], "--list and --print-template exclude each other"),
            (["--set", "trace.rate=9"], "--set: field `trace.rate`: the axis trace_rate"),
        ])
    func optionsWithoutEffect(options: [String], message: String) throws {
        let folder = try Folder()
        let grid = try folder.file("grid.yaml", Sweeping.grid)
        let outcome = try Sweeping.run([grid, "-o", folder.path("out")] + options)
        #expect(outcome.status == 64 && outcome.errors.contains(message), "\(outcome.errors)")
        #expect(folder.names == ["grid.yaml"])
    }

    @Test(arguments: [["-j1"], ["-j", "1"], ["--jobs=1"]]) func jobsInEveryForm(option: [String]) throws {
        let folder = try Folder()
        let grid = try folder.file("grid.yaml", Sweeping.grid)
        let outcome = try Sweeping.run([grid, "-o", folder.path("out"), "--dry-run"] + option)
        #expect(outcome.status == 0 && outcome.output.contains("with 1 job,"), "\(outcome.output) \(outcome.errors)")
    }

    @Test func theTemplateIsPrintedWithoutAnExperiment() throws {
        let folder = try Folder()
        let alone = try Sweeping.run(["--print-template"])
        #expect(alone.status == 0 && alone.output.hasPrefix("#!/bin/bash\n#SBATCH --job-name={{name}}"))
        // Nothing of an experiment is looked at.
        let broken = try folder.file("broken.yaml", "axes: {")
        #expect(try Sweeping.run([broken, "--slurm", "--print-template"]).output == alone.output)
        let missing = try Sweeping.run(["--list"])
        #expect(missing.status == 64 && missing.errors.contains("Missing expected argument '<experiment>'"))
    }

    @Test func foldersThatAreNone() throws {
        let folder = try Folder()
        let grid = try folder.file("grid.yaml", Sweeping.grid)
        let file = try Sweeping.run([grid, "-o", grid])
        #expect(file.status == 74 && file.errors.contains("grid.yaml: cannot make this folder: Not a directory"))
        let empty = try Sweeping.run([grid, "-o", folder.path("none"), "--merge"])
        #expect(empty.status == 65 && empty.errors.contains("none of the \(Sweeping.points) points is whole"))
        #expect(folder.names == ["grid.yaml"])
    }

    @Test func aDryRunWritesNothingAndSaysWhatItRestsOn() throws {
        let folder = try Folder()
        let grid = try folder.file("grid.yaml", Sweeping.grid)
        let output = folder.path("out")
        let first = try Sweeping.run([grid, "-o", output, "--dry-run"])
        #expect(first.status == 0, "\(first.errors)")
        #expect(
            first.output.contains("\(Sweeping.points) points of 12 cells: 0 whole")
                && first.output.contains("timed on 3 of them"))
        #expect(!FileManager.default.fileExists(atPath: output))
        let id = try #require(try Sweeping.run([grid, "-o", output, "--list"]).output.split(separator: "\t").first)
        #expect(try Sweeping.run([grid, "-o", output, "--point", String(id)]).status == 0)
        #expect(try Sweeping.run([grid, "-o", output, "--dry-run"]).output.contains("the mean of 1 earlier points"))
        // For a cluster, by task; no cluster is asked.
        let tasks = try Sweeping.run([grid, "-o", output, "--slurm", "--dry-run", "--points-per-task", "4"])
        #expect(
            tasks.status == 0 && tasks.output.contains(" a task, in 3 tasks of at most 3 points, "),
            "\(tasks.output) \(tasks.errors)")
    }

    /// Points that do not fit their memory do not keep others from being timed.
    @Test func aDryRunTakesOtherSamples() throws {
        let folder = try Folder()
        let text = Sweeping.grid.replacingOccurrences(
            of: "constraints: [trace.rate < 4 or training.update_every > 1]", with: "")
        for (memory, basis) in [
            (
                "[1GiB, 80GiB]",
                "timed on 3 of them without writing results; 2 of 5 that were tried failed: arm recompute"
            ),
            ("[1GiB, 2GiB]", "about an unknown time with 1 job, "),
        ] {
            let grid = try folder.file(
                "grid.yaml",
                text.replacingOccurrences(of: "training.update_every: [1, 2, 4]", with: "device.memory: \(memory)"))
            let outcome = try Sweeping.run([grid, "-o", folder.path("out"), "--dry-run", "--jobs", "1"])
            #expect(outcome.status == 0 && outcome.output.contains(basis), "\(outcome.output) \(outcome.errors)")
        }
    }
}
