import Foundation
import Testing

/// `make figures` makes again what a change is about, and nothing else. The rules are the project's own; the program and
/// Python are scripts that note what they are asked for and leave empty files.
@Suite struct FigureDependencyTests {
    private struct Workshop: ~Copyable {
        let folder: Folder

        init() throws {
            let folder = try Folder()
            let files = FileManager.default
            try files.createDirectory(atPath: folder.path("experiments"), withIntermediateDirectories: true)
            for part in ["experiments/figures", "experiments/reproduce", "experiments/staleness-model.yaml", "plots"] {
                try files.copyItem(atPath: Repository.root + "/" + part, toPath: folder.path(part))
            }
            // The last word after -o is the folder of a sweep, the name of a picture, or a file.
            let note = """
                #!/bin/sh
                echo "$@" >> asked
                while [ $# -gt 0 ]; do [ "$1" = -o ] && out=$2; shift; done
                """
            _ = try folder.file(
                "program", note + "\n[ -d \"$out\" ] && touch \"$out/merged.h5\" || touch \"$out\"\n")
            _ = try folder.file("python", note + "\ntouch \"$out.png\" \"$out.pdf\"\n")
            for script in ["program", "python"] {
                try files.setAttributes([.posixPermissions: 0o700], ofItemAtPath: folder.path(script))
            }
            self.folder = folder
        }

        /// What a call of make asks for: experiments that are run, and scripts that draw.
        func make(_ target: String = "all", seeds: Int = 1) throws -> Set<String> {
            try? FileManager.default.removeItem(atPath: folder.path("asked"))
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            process.currentDirectoryURL = folder.url
            process.arguments = [
                "-u", "MAKEFLAGS", "-u", "MAKELEVEL", "make", "-f", "experiments/figures/figures.mk", target,
                "SEEDS=\(seeds)", "PROGRAM=./program", "PYTHON=./python", "REPRODUCTION=page.md",
            ]
            process.standardOutput = FileHandle.nullDevice
            try process.run()
            process.waitUntilExit()
            #expect(process.terminationStatus == 0)
            let asked = (try? String(contentsOfFile: folder.path("asked"), encoding: .utf8)) ?? ""
            return Set(
                asked.split(separator: "\n").compactMap { line in
                    let words = line.split(separator: " ")
                    switch words.first {
                    case "sweep": return words[1].split(separator: "/").dropLast().last.map(String.init)
                    case "validate": return "validation"
                    case "pretrain": return "base"
                    case "trace": return nil
                    default: return words.first?.split(separator: "/").last.map(String.init)
                    }
                })
        }

        func edit(_ path: String) throws {
            // Times of files have steps of some milliseconds: an edit in that of the last picture would not be newer.
            Thread.sleep(forTimeInterval: 0.05)
            let file = try #require(FileHandle(forWritingAtPath: folder.path(path)))
            try file.seekToEnd()
            try file.write(contentsOf: Data("\n# edited\n".utf8))
            try file.close()
        }
    }

    @Test func whatAChangeIsAboutIsMadeAgain() throws {
        let workshop = try Workshop()
        let names = try FileManager.default.contentsOfDirectory(atPath: workshop.folder.path("experiments/figures"))
            .filter { $0.first?.isNumber == true }.map { String($0.dropLast(".yaml".count)) }
        let scripts = Set(names.map { "figure_\($0).py" } + ["figure_11_validation.py"])
        #expect(names.count == 11)
        let machine: Set = ["validation", "base"]
        #expect(try workshop.make() == scripts.union(names).union(machine))
        #expect(try workshop.make().isEmpty)

        try workshop.edit("experiments/figures/05_latency.yaml")
        #expect(try workshop.make() == ["05_latency", "figure_05_latency.py"])
        try workshop.edit("experiments/figures/validation.yaml")
        #expect(try workshop.make() == ["validation", "figure_11_validation.py"])
        try workshop.edit("plots/figure_09_map.py")
        #expect(try workshop.make() == ["figure_09_map.py"])
        try workshop.edit("plots/style.py")
        #expect(try workshop.make() == scripts)
        try FileManager.default.removeItem(atPath: workshop.folder.path("results/figures/10_save_plans.pdf"))
        #expect(try workshop.make() == ["figure_10_save_plans.py"])
        #expect(try workshop.make().isEmpty)

        // The table of claims has runs of its own, of each number of seeds, and is written anew each time.
        let claims: Set = ["cpu", "cpu_tokens", "gpu", "gpu_tokens", "reproduce.py"]
        #expect(try workshop.make("reproduce", seeds: 2) == claims)
        #expect(try workshop.make("reproduce", seeds: 5) == claims)
        #expect(try workshop.make("reproduce", seeds: 2) == ["reproduce.py"])
        try workshop.edit("experiments/reproduce/gpu.yaml")
        #expect(try workshop.make("reproduce", seeds: 5) == ["gpu", "reproduce.py"])
        #expect(try workshop.make().isEmpty)

        // More seeds are more runs of each experiment; the machine has none.
        #expect(try workshop.make(seeds: 5) == scripts.union(names).subtracting(["figure_11_validation.py"]))
        try workshop.edit("program")
        #expect(try workshop.make(seeds: 5) == scripts.union(names).union(machine))
    }
}
