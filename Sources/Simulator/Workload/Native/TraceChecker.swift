/// The rules of a trace that span its lines: order in time, unique ids, turns after their predecessors.
struct TraceChecker {
    /// The last turn seen of a conversation.
    private struct LastTurn {
        let turn: Int
        let line: Int
        /// Its index among the sound requests; `nil` if the line was wrong.
        let index: Int?
        let promptTokens: Int
        let outputTokens: Int
        /// When it is sent at the earliest, all thinking times before it included.
        let earliest: SimTime
        /// The ids of prompt and output, as far as they are known and kept.
        var history: History
    }

    private enum History {
        /// Both may be missing.
        case ids(prompt: [Int32]?, output: [Int32]?)
        /// A digest of what is known of them, when they are too many to keep.
        case digest(prompt: UInt64?, output: UInt64?)
    }

    /// The sound requests so far, if they are kept.
    private(set) var requests: [Request] = []
    private let keepsRequests: Bool
    /// Whether there was a line of which nothing is known: turns may be missing that stood there.
    var hasUnreadLines = false
    private var soundRequests = 0
    private var ids = IdentifierTable()
    private var conversations: [String: LastTurn] = [:]
    private var lastArrival: (time: SimTime, line: Int)?
    /// Conversations whose ids are kept, the longest unchanged first, and how many ids those are; only if the requests
    /// are not kept, which hold the same memory.
    private var kept: [(conversation: String, count: Int)] = []
    private var firstKept = 0
    private var keptIDs = 0
    /// Sixteen MiB of ids.
    private static let maxKeptIDs = 1 << 22

    /// Without `keepsRequests`, memory grows with the number of conversations only.
    init(keepsRequests: Bool) { self.keepsRequests = keepsRequests }

    /// Takes the next line's request in, if it and its place are right; else what is wrong.
    ///
    /// A wrong line still counts as seen, so that one mistake is not reported again for the lines that follow.
    mutating func add(
        _ record: consuming TraceRecord, line: Int, receiving: (Request) -> Void = { _ in }
    ) -> [TraceError.Problem] {
        checkID(&record, line: line)
        checkArrival(&record, line: line)
        guard let conversation = record.conversation else {
            if !record.isWhole {
                hasUnreadLines = true
            } else if !record.isFaulty(.conversation) {
                checkTurn(&record, after: nil)
            }
            if record.problems.isEmpty { take(record, previousTurn: nil, receiving) }
            return record.problems
        }
        let previous = conversations[conversation]
        if record.isWhole { checkTurn(&record, after: previous) }
        if record.isWhole, let previous, record.turn == previous.turn + 1 { checkHistory(&record, previous) }
        let earliest = checkEarliest(&record, previous)
        var index: Int?
        if record.problems.isEmpty {
            index = soundRequests
            take(record, previousTurn: previous?.index, receiving)
        }
        conversations[conversation] = LastTurn(
            turn: record.turn, line: line, index: index, promptTokens: record.prompt.count ?? 0,
            outputTokens: record.output.count ?? 0, earliest: earliest,
            history: .ids(prompt: record.prompt.ids, output: record.output.ids))
        if !keepsRequests {
            boundKeptIDs(conversation, (record.prompt.ids?.count ?? 0) + (record.output.ids?.count ?? 0))
        }
        return record.problems
    }

    private mutating func take(_ record: TraceRecord, previousTurn: Int?, _ receiving: (Request) -> Void) {
        soundRequests += 1
        guard let request = record.request(previousTurn: previousTurn) else { return }
        if keepsRequests { requests.append(request) }
        receiving(request)
    }

    /// Replaces the ids of the conversations that were silent longest by their digests, when too many are kept.
    private mutating func boundKeptIDs(_ conversation: String, _ count: Int) {
        guard count > 0 else { return }
        kept.append((conversation, count))
        keptIDs += count
        while keptIDs > Self.maxKeptIDs, firstKept < kept.count {
            let oldest = kept[firstKept]
            keptIDs -= oldest.count
            firstKept += 1
            if case .ids(let prompt, let output) = conversations[oldest.conversation]?.history,
                (prompt?.count ?? 0) + (output?.count ?? 0) == oldest.count
            {
                conversations[oldest.conversation]?.history = .digest(
                    prompt: prompt.map { Self.digest($0[...]) }, output: output.map { Self.digest($0[...]) })
            }
        }
        if firstKept > 4096, firstKept > kept.count / 2 {
            kept.removeFirst(firstKept)
            firstKept = 0
        }
    }

    private static func digest(_ ids: ArraySlice<Int32>) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for id in ids {
            hash = (hash ^ UInt64(UInt32(bitPattern: id))) &* 0x9e37_79b9_7f4a_7c15
            hash ^= hash >> 29
        }
        return hash
    }

    // MARK: Rules

    private mutating func checkID(_ record: inout TraceRecord, line: Int) {
        guard let id = record.id, let first = ids.insert(id, line: line) else { return }
        record.report(.id, found: "`\(id.neutralised())`", expected: "an id of its own, this one is line \(first)'s")
    }

    private mutating func checkArrival(_ record: inout TraceRecord, line: Int) {
        guard let arrival = record.arrival else { return }
        if let last = lastArrival, arrival < last.time {
            record.report(
                .arrival, found: "`\(arrival.nanoseconds.decimalSeconds)`",
                expected: "at least \(last.time.nanoseconds.decimalSeconds), the arrival of line \(last.line)")
        }
        lastArrival = (arrival, line)
    }

    private func checkTurn(_ record: inout TraceRecord, after previous: LastTurn?) {
        let next = previous.map { $0.turn + 1 } ?? 0
        guard record.turn != next, !record.isFaulty(.turn) else { return }
        // The turns between may be in a line that could not be read.
        if hasUnreadLines, record.conversation != nil, record.turn > next { return }
        let expected =
            if let previous { "`\(previous.turn + 1)`, as line \(previous.line) is turn \(previous.turn)" } else {
                record.conversation == nil
                    ? "`0`, as the request names no conversation" : "`0`, as its conversation has no earlier line"
            }
        record.report(.turn, found: "`\(record.turn)`", expected: expected)
    }

    /// Checks that the prompt can begin with the previous turn's prompt and answer, and does where ids are given.
    private func checkHistory(_ record: inout TraceRecord, _ previous: LastTurn) {
        guard previous.promptTokens > 0, previous.outputTokens > 0, let count = record.prompt.count,
            !record.isFaulty(.promptTokens), !record.isFaulty(.prompt)
        else { return }
        let history = previous.promptTokens + previous.outputTokens
        guard count >= history else {
            record.report(
                record.promptField, found: "`\(count)` tokens",
                expected: "at least \(history), the prompt and output of line \(previous.line)")
            return
        }
        guard let ids = record.prompt.ids else { return }
        switch previous.history {
        case .ids(let prompt, let output): checkIDs(&record, ids, prompt: prompt, output: output, previous)
        case .digest(let prompt, let output):
            let isSame =
                (prompt ?? Self.digest(ids[..<previous.promptTokens])) == Self.digest(ids[..<previous.promptTokens])
                && (output ?? Self.digest(ids[previous.promptTokens..<history]))
                    == Self.digest(ids[previous.promptTokens..<history])
            if !isSame {
                record.report(
                    .prompt, found: "other ids at its start",
                    expected: "the ids of the prompt and output of line \(previous.line)")
            }
        }
    }

    private func checkIDs(
        _ record: inout TraceRecord, _ ids: [Int32], prompt: [Int32]?, output: [Int32]?, _ previous: LastTurn
    ) {
        for (part, start) in [(prompt, 0), (output, previous.promptTokens)] {
            guard let part, let place = part.indices.first(where: { ids[start + $0] != part[$0] }) else { continue }
            record.problems.append(
                .field(
                    "\(TraceField.prompt.name)[\(start + place)]", found: "`\(ids[start + place])`",
                    expected: "`\(part[place])`, as in the prompt and output of line \(previous.line)"))
            return
        }
    }

    /// When the request is sent at the earliest, which thinking times must not put beyond the longest time.
    private func checkEarliest(_ record: inout TraceRecord, _ previous: LastTurn?) -> SimTime {
        let arrival = record.arrival ?? .zero
        guard let previous else { return arrival }
        let earliest = max(arrival, previous.earliest + record.thinkTime)
        let latest = SimTime(nanoseconds: TraceLimits.maxNanoseconds)
        guard earliest > latest else { return earliest }
        record.report(
            .thinkTime, found: "`\(record.thinkTime.nanoseconds.decimalSeconds)`",
            expected: "that the conversation's turns are sent by \(TraceLimits.maxSeconds) s")
        return latest
    }
}
