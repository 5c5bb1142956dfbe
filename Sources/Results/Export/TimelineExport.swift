internal import Simulator

/// Draws one repeat of every arm as trace events: what ran on the compute stream and the copy engines, the training
/// steps, every request from arrival to its last token, and the memory of each owner.
///
/// An arm is two processes: its devices, and its requests on as many lanes as there are at a time. Tables pass through in
/// batches of rows; only the requests of an arm are held in memory. Of logs that a long run did not keep row by row, there
/// are counters instead of spans.
public struct TimelineExport {
    /// What is drawn.
    public struct Selection: Sendable {
        /// All arms if `nil`.
        public var arms: [String]?
        public var repeatIndex = 0
        /// Nanoseconds of virtual time; what touches them is drawn whole.
        public var window: ClosedRange<Int64> = 0...Int64.max

        public init() {}
    }

    /// Threads of the process of an arm's devices.
    enum Thread: Int, CaseIterable {
        case compute = 1, trainerCompute, copyToHost, copyToDevice, steps

        var title: String {
            switch self {
            case .compute: "compute"
            case .trainerCompute: "trainer's compute"
            case .copyToHost: "copies to the host"
            case .copyToDevice: "copies to the device"
            case .steps: "training steps"
            }
        }
    }

    /// Writes the time line of `results` to `path`, which appears when it is whole.
    ///
    /// - Throws: `ResultsError.notOurs` if `path` holds anything that an export did not make, `ResultsError.unknownArm`.
    public static func write(
        _ results: borrowing ResultsFile, _ selection: Selection, to path: String
    ) throws(ResultsError) {
        let known = try results.arms
        let arms = selection.arms ?? known
        for arm in arms where !known.contains(arm) { throw .unknownArm(arm, known: known) }
        let notes = try results.rootAttributes.filter {
            ["tool_version", "git_commit", "command_line", "trace_source", "digest"].contains($0.name)
        }
        var file = try TraceEventFile(creating: path, notes: notes)
        for (index, arm) in arms.enumerated() {
            let names = try results.repeats(of: arm)
            guard names.indices.contains(selection.repeatIndex) else {
                throw .unknownRepeat(selection.repeatIndex, arm: arm, count: names.count)
            }
            let timeline = ArmTimeline(
                group: Schema.arm(arm) + "/" + names[selection.repeatIndex], process: 2 * index + 1,
                isSeparate: try results.devices(of: arm) > 1, window: selection.window)
            try timeline.write(arm, of: results, to: &file)
        }
        try file.commit()
    }
}

/// One repeat of an arm.
private struct ArmTimeline {
    let group: String
    /// Number of the process of its devices; that of its requests is the next one.
    let process: Int
    let isSeparate: Bool
    let window: ClosedRange<Int64>

    func write(
        _ arm: String, of results: borrowing ResultsFile, to file: inout TraceEventFile
    ) throws(ResultsError) {
        let devices = TraceTrack(process: process, thread: 0)
        try file.title(arm, track: devices, isThread: false, place: process)
        for thread in TimelineExport.Thread.allCases where thread != .trainerCompute || isSeparate {
            try file.title(thread.title, track: track(thread), isThread: true, place: thread.rawValue)
        }
        if try results.form(of: group + "/iterations") == "raw" {
            try writeQuanta(results, &file)
        } else {
            try writeWindows(results, &file)
        }
        if try results.form(of: group + "/transfers") == "raw" { try writeTransfers(results, &file) }
        try writeSteps(results, &file)
        for tier in MemoryTier.allCases { try writeMemory(tier, results, &file) }
        try writeRequests(arm, results, &file)
    }

    private func track(_ thread: TimelineExport.Thread) -> TraceTrack {
        TraceTrack(process: process, thread: thread.rawValue)
    }

    private func isShown(_ start: Int64, _ end: Int64) -> Bool {
        start <= window.upperBound && end >= window.lowerBound
    }

    /// Iterations and trainer quanta, with the trainer's units inside theirs, and counters of what waits.
    private func writeQuanta(
        _ results: borrowing ResultsFile, _ file: inout TraceEventFile
    ) throws(ResultsError) {
        let table = group + "/iterations"
        var quanta = try ColumnBatches(
            [
                "kind", "start", "duration", "prefill_tokens", "decode_tokens", "recorded_tokens", "version", "waiting",
                "kv_blocks",
            ], of: table, in: results)
        let hasUnits = try results.form(of: group + "/units") == "raw"
        var units = try ColumnBatches(
            hasUnits ? ["quantum", "phase", "duration"] : [], of: group + "/units", in: results)
        let kinds = try results.codes(of: table + "/kind")
        let phases = try results.codes(of: group + "/units/phase")
        var hasUnit = try units.next(in: results)
        var waiting = TraceCounter("waiting requests", process: process)
        var blocks = TraceCounter("KV blocks", process: process)
        while try quanta.next(in: results) {
            let (start, end) = (quanta[1], quanta[1] + quanta[2])
            let shown = isShown(start, end)
            let kind = kinds[quanta[0]] ?? "\(quanta[0])"
            let isTraining = kind == QuantumRecord.Kind.train.name
            let place = track(isTraining && isSeparate ? .trainerCompute : .compute)
            if shown {
                let arguments: [(String, TraceEventFile.Argument)] =
                    isTraining
                    ? [("version", .integer(quanta[6]))]
                    : [
                        ("prefill_tokens", .integer(quanta[3])), ("decode_tokens", .integer(quanta[4])),
                        ("recorded_tokens", .integer(quanta[5])), ("version", .integer(quanta[6])),
                    ]
                try file.span(kind, "compute", track: place, from: start, to: end, arguments)
                if !isTraining {
                    try waiting.set([("requests", quanta[7])], from: start, to: end, &file)
                    try blocks.set([("blocks", quanta[8])], from: start, to: end, &file)
                }
            }
            var time = start
            while hasUnit, units[0] <= Int64(quanta.row) {
                if units[0] == Int64(quanta.row) {
                    if shown {
                        try file.span(
                            phases[units[1]] ?? "\(units[1])", "unit", track: place, from: time, to: time + units[2])
                    }
                    time += units[2]
                }
                hasUnit = try units.next(in: results)
            }
        }
        try waiting.close(&file)
        try blocks.close(&file)
    }

    /// Of a run that was too long for its quanta to be kept: what waited, and who computed for how long, by windows.
    private func writeWindows(
        _ results: borrowing ResultsFile, _ file: inout TraceEventFile
    ) throws(ResultsError) {
        let starts = try results.integers(group + "/iterations/start")
        let width = starts.count > 1 ? starts[1] - starts[0] : 0
        let each = width.asWidth
        var waiting = TraceCounter("waiting requests, most in each \(each)", process: process)
        var blocks = TraceCounter("KV blocks, most in each \(each)", process: process)
        var compute = TraceCounter("compute in each \(each) (ns)", process: process)
        var windows = try ColumnBatches(
            ["start", "waiting", "kv_blocks", "serving_time", "training_time"], of: group + "/iterations", in: results)
        while try windows.next(in: results) {
            let (start, end) = (windows[0], windows[0] + width)
            guard isShown(start, end) else { continue }
            try waiting.set([("requests", windows[1])], from: start, to: end, &file)
            try blocks.set([("blocks", windows[2])], from: start, to: end, &file)
            try compute.set([("serve", windows[3]), ("train", windows[4])], from: start, to: end, &file)
        }
        try waiting.close(&file)
        try blocks.close(&file)
        try compute.close(&file)
    }

    private func writeTransfers(
        _ results: borrowing ResultsFile, _ file: inout TraceEventFile
    ) throws(ResultsError) {
        let table = group + "/transfers"
        var transfers = try ColumnBatches(
            ["direction", "start", "end", "bytes", "request", "layer", "queued"], of: table, in: results)
        let directions = try results.codes(of: table + "/direction")
        while try transfers.next(in: results) {
            let (start, end) = (transfers[1], transfers[2])
            guard isShown(start, end) else { continue }
            let outward = directions[transfers[0]] == TransferDirection.toHost.name
            let name = transfers[5] < 0 ? "swap" : "layer \(transfers[5])"
            try file.span(
                name, "copy", track: track(outward ? .copyToHost : .copyToDevice), from: start, to: end,
                [
                    ("bytes", .integer(transfers[3])), ("request", .integer(transfers[4])),
                    ("waited_ns", .integer(start - transfers[6])),
                ])
        }
    }

    private func writeSteps(
        _ results: borrowing ResultsFile, _ file: inout TraceEventFile
    ) throws(ResultsError) {
        var steps = try ColumnBatches(
            ["version", "start", "end", "samples", "tokens", "reused_tokens"], of: group + "/training", in: results)
        while try steps.next(in: results) {
            guard isShown(steps[1], steps[2]) else { continue }
            try file.span(
                "step \(steps.row)", "step", track: track(.steps), from: steps[1], to: steps[2],
                [
                    ("version", .integer(steps[0])), ("samples", .integer(steps[3])), ("tokens", .integer(steps[4])),
                    ("reused_tokens", .integer(steps[5])),
                ])
        }
    }

    /// The highest levels, in each bucket of the series, of the owners that ever held a byte, where one changes. The counter's
    /// name says how wide buckets are: within one nothing is told but the highest.
    private func writeMemory(
        _ tier: MemoryTier, _ results: borrowing ResultsFile, _ file: inout TraceEventFile
    ) throws(ResultsError) {
        let table = group + "/memory/" + tier.name + "/series"
        let starts = try results.integers(table + "/start")
        var owners: [(name: String, levels: [Int64])] = []
        for column in try results.group(at: table).columns where column.name != "start" {
            let levels = try results.integers(column.path)
            if levels.contains(where: { $0 > 0 }) { owners.append((column.name, levels)) }
        }
        guard !owners.isEmpty else { return }
        let width = try results.integers(group + "/memory/" + tier.name + "/bucket_width").first ?? 0
        let place = tier.name.replacing("_", with: " ")
        var counter = TraceCounter("\(place) memory, highest in each \(width.asWidth) (B)", process: process)
        for (bucket, start) in starts.enumerated() where isShown(start, start + width) {
            let levels = owners.map { ($0.name, $0.levels[bucket]) }
            try counter.set(levels, from: start, to: start + width, &file)
        }
        try counter.close(&file)
    }

    /// Requests from their arrival on, with queueing, prefill and decoding inside.
    private func writeRequests(
        _ arm: String, _ results: borrowing ResultsFile, _ file: inout TraceEventFile
    ) throws(ResultsError) {
        let requests = try RequestSpans(of: group, in: results, window: window)
        let lanes = process + 1
        try file.title(arm + ": requests", track: TraceTrack(process: lanes, thread: 0), isThread: false, place: lanes)
        for lane in 0..<requests.lanes {
            try file.title(
                "lane \(lane + 1)", track: TraceTrack(process: lanes, thread: lane + 1), isThread: true, place: lane + 1
            )
        }
        for request in requests.spans {
            let track = TraceTrack(process: lanes, thread: request.lane + 1)
            if request.outcome == RequestRecord.Outcome.refused.rawValue {
                try file.instant(request.id + " refused", "request", track: track, at: request.arrival)
                continue
            }
            try file.span(
                request.id, "request", track: track, from: request.arrival, to: request.end,
                [
                    ("row", .integer(Int64(request.row))), ("outcome", .text(request.outcome)),
                    ("prompt_tokens", .integer(request.promptTokens)),
                    ("output_tokens", .integer(request.outputTokens)),
                    ("cached_tokens", .integer(request.cachedTokens)), ("preemptions", .integer(request.preemptions)),
                ])
            for (name, start, end) in request.phases {
                try file.span(name, "request", track: track, from: start, to: end)
            }
        }
    }
}
