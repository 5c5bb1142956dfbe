internal import HeapModule
internal import Simulator

/// The requests of one repeat in the order of arrival, spread over lanes in which no two of them meet.
struct RequestSpans {
    struct Span {
        /// Of `/trace`.
        var row: Int
        var id: String
        var outcome: String
        /// Nanoseconds.
        var arrival: Int64
        var end: Int64
        /// What happened between: name, start, end. They follow each other.
        var phases: [(String, Int64, Int64)]
        var promptTokens: Int64
        var outputTokens: Int64
        var cachedTokens: Int64
        var preemptions: Int64
        var lane = 0
    }

    private(set) var spans: [Span] = []
    private(set) var lanes = 0

    /// - Parameter group: the repeat's group.
    init(of group: String, in results: borrowing ResultsFile, window: ClosedRange<Int64>) throws(ResultsError) {
        let table = group + "/requests"
        func column(_ name: String) throws(ResultsError) -> [Int64] { try results.integers(table + "/" + name) }
        let rows = try column("index")
        let outcomes = try column("outcome")
        let outcomeNames = try results.codes(of: table + "/outcome")
        let arrivals = try column("effective_arrival")
        let scheduled = try column("scheduled")
        let firsts = try column("first_token")
        let finishes = try column("finish")
        let cached = try column("cached_tokens")
        let preemptions = try column("preemptions")
        let prompts = try results.integers(Schema.trace + "/prompt_tokens")
        let outputs = try results.integers(Schema.trace + "/output_tokens")
        guard case .text(let ids) = try results.values(at: Schema.trace + "/id") else { return }
        let last = try results.integers(group + "/end").first ?? 0
        for index in rows.indices where arrivals[index] >= 0 {
            let row = Int(rows[index])
            guard ids.indices.contains(row) else { continue }
            let outcome = outcomeNames[outcomes[index]] ?? "\(outcomes[index])"
            let refused = outcome == RequestRecord.Outcome.refused.rawValue
            // What a run that was interrupted left open ends with the run.
            let end = refused ? arrivals[index] : finishes[index] >= 0 ? finishes[index] : max(last, arrivals[index])
            guard arrivals[index] <= window.upperBound, end >= window.lowerBound else { continue }
            var span = Span(
                row: row, id: ids[row], outcome: outcome, arrival: arrivals[index], end: end, phases: [],
                promptTokens: prompts[row], outputTokens: outputs[row], cachedTokens: cached[index],
                preemptions: preemptions[index])
            let marks = [("queued", scheduled[index]), ("prefill", firsts[index]), ("decode", finishes[index])]
            var start = span.arrival
            for (name, mark) in marks where !refused {
                span.phases.append((name, start, mark >= 0 ? mark : end))
                guard mark >= 0 else { break }
                start = mark
            }
            spans.append(span)
        }
        spans.sort { ($0.arrival, $0.row) < ($1.arrival, $1.row) }
        takeLanes()
    }

    /// Gives every span the lane that has been free longest among those that are free, or a new one.
    private mutating func takeLanes() {
        var busy = Heap<Lane>()
        for index in spans.indices {
            if let free = busy.min, free.until <= spans[index].arrival {
                spans[index].lane = busy.removeMin().number
            } else {
                spans[index].lane = lanes
                lanes += 1
            }
            busy.insert(Lane(until: spans[index].end, number: spans[index].lane))
        }
    }

    private struct Lane: Comparable {
        var until: Int64
        var number: Int

        static func < (one: Lane, other: Lane) -> Bool {
            (one.until, one.number) < (other.until, other.number)
        }
    }
}

extension ResultsFile {
    /// The names of an enumeration's codes.
    func codes(of path: String) throws(ResultsError) -> [Int64: String] {
        try group(at: String(path[..<(path.lastIndex(of: "/") ?? path.endIndex)])).columns.first { $0.path == path }?
            .codes ?? [:]
    }
}
