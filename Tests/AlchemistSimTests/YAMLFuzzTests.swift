import AlchemistSim
import Foundation
import Fuzzing
import Simulator
import Testing

/// Whatever a file in YAML holds, reading it ends: with what it says, or with one error of one line.
@Suite struct YAMLFuzzTests {
    /// What reads YAML.
    enum Reader: String, CaseIterable, Sendable {
        case scenario, profile, accelerator, experiment
    }

    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()

    private static func sound(_ reader: Reader) throws -> [[UInt8]] {
        let files =
            switch reader {
            case .scenario: ["experiments/sample.yaml", "experiments/effect.yaml", "experiments/headline-a100.yaml"]
            case .profile: [String]()
            case .accelerator:
                [
                    "Sources/AlchemistSim/Registry/hardware/a100-80g.yaml",
                    "Sources/AlchemistSim/Registry/hardware/a40.yaml",
                ]
            case .experiment: ["experiments/sweep.yaml", "experiments/search.yaml", "experiments/pressure.yaml"]
            }
        var texts = try files.map { [UInt8](try Data(contentsOf: root.appendingPathComponent($0))) }
        switch reader {
        case .scenario: texts.append(Array(Scenario().yaml.utf8))
        case .profile: texts.append(Array(smallProfile.utf8))
        case .accelerator, .experiment: break
        }
        return texts
    }

    /// A profile with every field and few points.
    private static let smallProfile = """
        format: 1
        cpu: "a machine"
        kernel: "Haswell"
        threads: 2
        date: "2026-11-24T19:02:30Z"
        model: "mini"
        probe: 0.0001
        limits: {flops_per_second: 6e11, bytes_per_second: 6e10, cache_bytes_per_second: 5e11, cache_bytes: 3e8}
        heads: {query_width: 384, kv_width: 128}
        corrections:
          decode: {rows: [1, 8], context: [16, 64], scale: [[0.7, 0.8], [1, 2]], first_scale: [[1, 1], [2, 2]], overhead: 0.0016}
        products:
          forward: &product
            m: [1, 8]
            n: [8, 16]
            k: [8, 384]
            points:
              - {seconds: [9e-08, 4e-07], spread: [0.0, 0.4]}
              - {seconds: [1e-07, 8e-07], spread: [0.0, 0.2]}
              - {seconds: [1e-07, 6e-07], spread: [0.0, 0.08]}
              - {seconds: [6e-07, 5e-06], spread: [0.0, 0.03]}
          input_gradient: *product
          weight_gradient: *product

        """

    /// Marks of YAML, numbers that do not fit, units, and names that other fields have.
    private static let fragments =
        [
            "&a ", "*a", "[", "]", "{", "}", ": ", "- ", "? ", "| \n", "> \n", "!!int ", "!!binary ", "---\n", "...\n",
            "%YAML 9.9\n", "<<: *a\n", "\t", "\"", "'", "#", "\u{0}", "\u{1b}[31m", "\u{202e}", "null", "~", "true",
            "no",
            "0x7fffffffffffffff", "1e999", "-1", "-0", ".nan", ".inf", "9223372036854775808", "1e18", "0.1GiB", "3GB/s",
            "-5ms",
            "model", "training", "arms", "serve-only", "reuse", "../../../etc/passwd", "${HOME}", "axes", "trace",
            "zip",
        ] + ["[", "{a: ", "- ", "? "].map { String(repeating: $0, count: 3000) } + [
            String(repeating: "9", count: 5000), String(repeating: "x", count: 100_000),
            "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
                + "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n",
        ]

    private static func read(_ text: String, by reader: Reader) throws {
        switch reader {
        case .scenario: _ = try Scenario(yaml: text, path: "f.yaml")
        case .profile: _ = try HardwareProfile(yaml: text, path: "f.yaml")
        case .accelerator: _ = try Hardware(yaml: text, path: "f.yaml", AcceleratorSetting())
        case .experiment: _ = try SweepExperiment(yaml: text, path: "f.yaml")
        }
    }

    private static func problem(with bytes: [UInt8], _ reader: Reader) -> String? {
        let text = String(decoding: bytes, as: UTF8.self)
        do {
            try read(text, by: reader)
            return nil
        } catch {
            guard error is ScenarioError || error is ProfileError || error is SweepError else {
                return "an error of another kind: \(error)"
            }
            let line = "\(error)"
            if line.contains(where: \.isNewline) { return "an error of several lines: \(line)" }
            if line.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) {
                return "an error with control characters: \(line.debugDescription)"
            }
            return line.utf8.count < 4000 ? nil : "an error of \(line.utf8.count) bytes"
        }
    }

    @Test(.timeLimit(.minutes(Fuzzing.minutes)), arguments: Reader.allCases)
    func readingEnds(reader: Reader) throws {
        let sound = try Self.sound(reader)
        for (name, bytes) in Fuzzing.corpus("yaml-\(reader)") {
            let problem = Fuzzing.attempt("corpus", bytes) { Self.problem(with: bytes, reader) }
            #expect(problem == nil, "\(name)")
        }
        var generator = FuzzingGenerator(seed: UInt64(reader.rawValue.utf8.count))
        for _ in 0..<Fuzzing.cases(400) {
            let bytes = Fuzzing.spoilt(sound[generator.below(sound.count)], with: Self.fragments, &generator)
            let problem = Fuzzing.attempt("yaml-\(reader)", bytes) { Self.problem(with: bytes, reader) }
            #expect(problem == nil)
        }
    }
}
