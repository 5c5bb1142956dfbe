import Foundation
import Results
import Testing

@Suite("Merged sweeps")
struct MergeTests {
    private static func record(
        _ id: String, _ value: Double, spread: Double = 0, speedup: Double? = nil
    ) -> PointRecord {
        var figures = [
            PointRecord.Figures(
                subject: .arm("reuse"),
                figures: [
                    .init(name: "ttft_p50", spread: Spread([value - spread, value, value + spread])!),
                    .init(name: "wall_seconds", spread: Spread([1e-300, .pi * 1e200])!),
                ])
        ]
        if let speedup {
            figures.append(
                PointRecord.Figures(
                    subject: .comparison(baseline: "recompute", candidate: "reuse"),
                    figures: [.init(name: "training_speedup", spread: Spread([speedup])!)]))
            figures.append(
                PointRecord.Figures(
                    subject: .paired(baseline: "recompute", candidate: "reuse"),
                    figures: [.init(name: "training_speedup", spread: Spread([speedup * 2])!)]))
        }
        var record = PointRecord(
            id: id, program: .init(sha256: "abc", name: "0.1.0 (def)"),
            coordinates: [.init(name: "trace_rate", value: "2"), .init(name: "plan", value: "full, eager")],
            seconds: 0.25,
            trace: "0123", file: id + ".h5", digest: "4567", figures: figures,
            identity: "model: mini\nend\n\tarms: {}\n")
        record.fileBytes = 4321
        return record
    }

    private static func axis(_ name: String, _ values: MergedAxis.Coordinate.Values, seeds: Bool = false) -> MergedAxis
    {
        MergedAxis(scale: .init(name: name, unit: .one, description: name, values: values), isSeeds: seeds)
    }

    @Test("a record comes back as it was written, as a whole and in part")
    func recordsRoundTrip() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("a.point")
        let record = Self.record("a", 0.1 + 0.2, spread: 1e-9, speedup: 1.5)
        try record.write(to: path)
        #expect(try PointRecord(reading: path) == record)
        var measured = record
        measured.measured = .init(threads: 3, isSharing: true, processor: "Abacus (family 1, model 2)")
        try measured.write(to: path)
        #expect(try PointRecord(reading: path) == measured)
        #expect(try PointRecord(reading: path, .figures)?.measured == measured.measured)
        try record.write(to: path)
        #expect(try PointRecord(reading: path, .figures)?.figures == record.figures)
        #expect(try PointRecord(reading: directory.file("b.point")) == nil)
        #expect(try directory.contents == ["a.point"])
    }

    @Test("a record that was cut or tampered with is refused")
    func damagedRecords() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("a.point")
        var record = Self.record("a", 1, speedup: 2)
        record.identity = "model: mini\narms: {}\n"
        try record.write(to: path)
        let whole = try Data(contentsOf: URL(fileURLWithPath: path))
        for length in stride(from: 0, to: whole.count, by: 7) {
            try whole.prefix(length).write(to: URL(fileURLWithPath: path))
            let error = #expect(throws: ResultsError.self) { try PointRecord(reading: path, .figures) }
            let problem = length == 0 ? "it is empty" : length < 22 ? "it does not begin with" : "it is cut off after"
            #expect(error?.description.contains("a.point: this record of a point can not be read: " + problem) == true)
        }
        let text = String(decoding: whole, as: UTF8.self)
        for (part, instead, problem) in [
            ("ttft_p50\t1.0", "ttft_p50\tone", "one of its lines is damaged"),
            ("program\t", "programme\t", "one of its lines is damaged"), ("id\ta", "id", "one of its lines is damaged"),
            ("point 2\n", "point 3\n", "it is of version 3, and this build reads 2"),
            ("file\ta.h5\t4321", "file\ta.h5", "one of its lines is damaged"),
        ] {
            let changed = text.replacingOccurrences(of: part, with: instead)
            #expect(changed != text)
            try changed.write(toFile: path, atomically: true, encoding: .utf8)
            #expect(throws: ResultsError.unreadableRecord(path: path, problem: problem)) {
                try PointRecord(reading: path)
            }
        }
    }

    @Test("figures lie where their points stand; others are NaN")
    func layout() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("merged.h5")
        var sweep = MergedSweep(axes: [
            Self.axis("rate", .numbers([0.5, 2, 8])), Self.axis("staleness", .texts(["exact", "any"])),
        ])
        sweep.mark(0, .excluded)
        sweep.mark(1, .failed, id: "f")
        sweep.add(Self.record("p2", 2, spread: 0.5), at: 2)
        sweep.add(Self.record("p5", 5, speedup: 1.25), at: 5)
        let origin = MergedSweepWriter.Origin(
            toolVersion: "1", gitCommit: "c", experiment: "axes: {}", pointsFolder: "points")
        let digest = try MergedSweepWriter(creating: path, sweep).write(origin)
        let file = try HDF5File(reading: path)
        func numbers(_ name: String) throws -> [Double] { try file.numbers(name) }
        func same(_ a: [Double], _ b: [Double]) -> Bool {
            a.count == b.count && zip(a, b).allSatisfy { $0 == $1 || ($0.isNaN && $1.isNaN) }
        }
        let nan = Double.nan
        #expect(same(try numbers("/ttft_p50"), [nan, nan, 2, nan, nan, 5]))
        #expect(same(try numbers("/ttft_p50_min"), [nan, nan, 1.5, nan, nan, 5]))
        #expect(same(try numbers("/ttft_p50_max"), [nan, nan, 2.5, nan, nan, 5]))
        #expect(same(try numbers("/comparison/training_speedup"), [nan, nan, nan, nan, nan, 1.25]))
        #expect(try numbers("/rate") == [0.5, 2, 8])
        #expect(try file.numbers("/point_status", as: Int64.self) == [3, 2, 1, 0, 0, 1])
        #expect(try file.text("units", of: "/ttft_p50") == "s")
        #expect(try file.text("digest", of: "/") == digest)
        #expect(try file.hasAttribute("DIMENSION_LIST", of: "/ttft_p50"))
        #expect(try file.hasAttribute("REFERENCE_LIST", of: "/staleness"))
        // Writing again gives the same bytes: nothing of when and where goes in.
        let again = directory.file("again.h5")
        try MergedSweepWriter(creating: again, sweep).write(origin)
        #expect(FileManager.default.contentsEqual(atPath: path, andPath: again))
        #expect(try directory.contents == ["again.h5", "merged.h5"])
    }

    /// Quantiles of Student's t from the tables of textbooks.
    @Test("means and intervals over seeds", arguments: [(2, 12.706), (3, 4.303), (5, 2.776), (6, 2.571), (31, 2.042)])
    func intervals(seeds: Int, quantile: Double) throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("merged.h5")
        var sweep = MergedSweep(axes: [
            Self.axis("a", .integers([1, 2])), Self.axis("seed", .integers((0..<Int64(seeds)).map { $0 }), seeds: true),
            Self.axis("b", .integers([1, 2])),
        ])
        // At a = 2, b = 1 the seeds give 10, 11, 12, ...; at b = 2 there is a single one.
        for seed in 0..<seeds {
            sweep.add(Self.record("s\(seed)", 10 + Double(seed), speedup: Double(seed)), at: (seeds + seed) * 2)
        }
        sweep.add(Self.record("single", 7), at: seeds * 2 + 1)
        try MergedSweepWriter(creating: path, sweep).write(
            .init(toolVersion: "1", gitCommit: "c", experiment: "", pointsFolder: "points"))
        let file = try HDF5File(reading: path)
        let means: [Double] = try file.numbers("/over_seeds/ttft_p50_mean")
        let widths: [Double] = try file.numbers("/over_seeds/ttft_p50_ci95")
        #expect(try file.numbers("/over_seeds/ttft_p50_n", as: Int64.self) == [0, 0, Int64(seeds), 1])
        #expect(means[0].isNaN && means[2] == 10 + Double(seeds - 1) / 2 && means[3] == 7)
        // The variance of 0, 1, ..., n - 1 is n (n + 1) / 12.
        let expected = quantile * (Double(seeds + 1) / 12).squareRoot()
        #expect(abs(widths[2] - expected) < 1e-3 * expected)
        #expect(widths[3].isNaN)
        // The same of comparisons, and, twice as wide here, of paired ones.
        for (group, scale) in [("comparison", 1.0), ("paired", 2.0)] {
            let path = "/over_seeds_\(group)/training_speedup"
            let (means, widths): ([Double], [Double]) = (
                try file.numbers(path + "_mean"), try file.numbers(path + "_ci95")
            )
            #expect(means[2] == scale * Double(seeds - 1) / 2 && means[3].isNaN)
            #expect(abs(widths[2] - scale * expected) < 1e-3 * scale * expected)
        }
    }
}
