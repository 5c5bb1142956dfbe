internal import Simulator

/// What the page shows of one arm, drawn from the file and thinned to what a picture can show.
struct ReportArm {
    var name: String
    var repeats: Int
    /// Medians over the repeats by name, with their extremes; without those that do not apply.
    var figures: [String: (median: Double, lowest: Double, highest: Double)] = [:]
    var firstToken = LatencySketch()
    var tokenGap = LatencySketch()
    var endToEnd = LatencySketch()
    /// Of the first repeat, on the device that serves.
    var memory: ReportMemory?
    var trainerMemory: ReportMemory?
    /// Of the first repeat.
    var steps = ReportSteps()

    init(_ name: String, in results: borrowing ResultsFile) throws(ResultsError) {
        self.name = name
        let groups = try results.repeats(of: name)
        repeats = groups.count
        try readFigures(results)
        for group in groups { try addLatencies(of: Schema.arm(name) + "/" + group, results) }
        guard let first = groups.first.map({ Schema.arm(name) + "/" + $0 }) else { return }
        memory = try ReportMemory(of: first, tier: .device, in: results)
        trainerMemory = try ReportMemory(of: first, tier: .trainerDevice, in: results)
        steps = try ReportSteps(of: first, in: results)
    }

    private mutating func readFigures(_ results: borrowing ResultsFile) throws(ResultsError) {
        let group = Schema.summary(name)
        var values: [String: Double] = [:]
        for scalar in try results.group(at: group).scalars {
            if let value = try results.reals(scalar.path).first, value.isFinite { values[scalar.name] = value }
        }
        for (name, median) in values where !name.hasSuffix("_min") && !name.hasSuffix("_max") {
            figures[name] = (median, values[name + "_min"] ?? median, values[name + "_max"] ?? median)
        }
    }

    /// TTFT, gaps and e2e of finished requests, whatever window the figures have.
    private mutating func addLatencies(of group: String, _ results: borrowing ResultsFile) throws(ResultsError) {
        let table = group + "/requests"
        let outcomes = try results.codes(of: table + "/outcome")
        var requests = try ColumnBatches(
            ["outcome", "effective_arrival", "first_token", "finish"], of: table, in: results)
        while try requests.next(in: results) {
            guard outcomes[requests[0]] == RequestRecord.Outcome.finished.rawValue else { continue }
            firstToken.add(requests[2] - requests[1])
            endToEnd.add(requests[3] - requests[1])
        }
        if try results.form(of: group + "/itl") == "histogram" {
            var bins = try ColumnBatches(["lower", "upper", "count"], of: group + "/itl", in: results)
            while try bins.next(in: results) { tokenGap.add((bins[0] + bins[1] - 1) / 2, times: Int(bins[2])) }
        } else {
            var gaps = try ColumnBatches(["gap"], of: group + "/itl", in: results)
            while try gaps.next(in: results) { tokenGap.add(gaps[0]) }
        }
    }
}

/// The memory of one device over time, with owners that belong together summed up.
struct ReportMemory {
    /// Layers of the stack, from the bottom: what a reader tells apart.
    static let kinds: [(name: String, owners: [MemoryOwner])] = [
        ("weights", [.weights]),
        ("serving workspace", [.servingWorkspace]),
        ("KV of requests", [.kv]),
        ("KV of the prefix cache", [.cachedKV]),
        ("records", [.recorded, .recordedKV]),
        ("records reloaded", [.staged]),
        ("training activations", [.trainActivations]),
        ("training workspace", [.trainWorkspace]),
        ("adapters, gradients, optimizer", [.adapters, .gradients, .optimizer, .publishBuffer]),
    ]
    private static let points = 400

    var capacity: Double
    /// Seconds.
    var times: [Double] = []
    /// For each kind, its bytes at those times: the highest of the buckets that a point stands for.
    var levels: [[Double]]
    /// Exact, by owner.
    var peaks: [(owner: MemoryOwner, bytes: Double)] = []

    /// `nil` for a device that never held a byte.
    init?(of group: String, tier: MemoryTier, in results: borrowing ResultsFile) throws(ResultsError) {
        let place = group + "/memory/" + tier.name
        capacity = try results.reals(place + "/capacity").first ?? 0
        guard let peak = try results.reals(place + "/peak").first, peak > 0 else { return nil }
        let starts = try results.integers(place + "/series/start")
        guard !starts.isEmpty else { return nil }
        let stride = (starts.count + Self.points - 1) / Self.points
        levels = []
        for kind in Self.kinds {
            var sums = [Double](repeating: 0, count: starts.count)
            for owner in kind.owners where try results.contains(place + "/series/" + owner.name) {
                for (bucket, level) in try results.integers(place + "/series/" + owner.name).enumerated() {
                    sums[bucket] += Double(level)
                }
            }
            levels.append(
                Swift.stride(from: 0, to: sums.count, by: stride).map { first in
                    sums[first..<min(first + stride, sums.count)].max() ?? 0
                })
        }
        times = Swift.stride(from: 0, to: starts.count, by: stride).map { Double(starts[$0]) / 1e9 }
        guard case .text(let owners) = try results.values(at: group + "/memory/peaks/owner") else { return }
        let bytes = try results.reals(group + "/memory/peaks/" + tier.name)
        for owner in MemoryOwner.allCases {
            guard let row = owners.firstIndex(of: owner.name), bytes[row] > 0 else { continue }
            peaks.append((owner, bytes[row]))
        }
    }

    /// Kinds that ever held a byte.
    var shown: [Int] { levels.indices.filter { levels[$0].contains { $0 > 0 } } }
}

/// The training steps of one repeat.
struct ReportSteps {
    private static let points = 500

    /// Seconds and tokens trained by then, thinned.
    var progress: [(time: Double, tokens: Double)] = []
    /// Step and mean loss of the steps that a point stands for; empty where no numbers were computed.
    var losses: [(step: Double, loss: Double)] = []
    var count = 0

    init() {}

    init(of group: String, in results: borrowing ResultsFile) throws(ResultsError) {
        let table = group + "/training"
        let ends = try results.integers(table + "/end")
        let tokens = try results.integers(table + "/tokens")
        let loss = try results.reals(table + "/loss")
        count = ends.count
        guard count > 0 else { return }
        let stride = (count + Self.points - 1) / Self.points
        var sum = 0.0
        progress.append((0, 0))
        for first in Swift.stride(from: 0, to: count, by: stride) {
            let steps = first..<min(first + stride, count)
            for step in steps { sum += Double(tokens[step]) }
            progress.append((Double(ends[steps.upperBound - 1]) / 1e9, sum))
            let known = steps.map { loss[$0] }.filter(\.isFinite)
            if !known.isEmpty {
                losses.append((Double(first + steps.upperBound - 1) / 2, known.reduce(0, +) / Double(known.count)))
            }
        }
    }
}
