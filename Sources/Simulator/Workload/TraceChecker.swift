/// The rules of a trace that span its lines: order in time, unique ids, turns after their predecessors.
struct TraceChecker {
    /// The last turn seen of a conversation.
    private struct LastTurn {
        let turn: Int
        let line: Int
        /// Its index in `requests`; `nil` if the line was wrong.
        let index: Int?
        /// When it is sent at the earliest, all thinking times before it included.
        let earliest: SimTime
    }

    /// The sound requests so far.
    private(set) var requests: [Request] = []
    private var lineOfID: [String: Int] = [:]
    private var conversations: [String: LastTurn] = [:]
    private var lastArrival: (time: SimTime, line: Int)?

    /// Takes the next line's request in, if it and its place are right; else what is wrong.
    ///
    /// A wrong line still counts as seen, so that one mistake is not reported again for the lines that follow.
    mutating func add(_ record: consuming TraceRecord, line: Int) -> [TraceError.Problem] {
        checkID(&record, line: line)
        checkArrival(&record, line: line)
        let previous = record.conversation.flatMap { conversations[$0] }
        if record.problems.isEmpty { checkTurn(&record, after: previous) }
        if record.problems.isEmpty, let previous { checkHistory(&record, previous) }
        let earliest = checkEarliest(&record, previous)

        var index: Int?
        if record.problems.isEmpty, let request = record.request(previousTurn: previous?.index) {
            index = requests.count
            requests.append(request)
        }
        if let conversation = record.conversation {
            conversations[conversation] = LastTurn(turn: record.turn, line: line, index: index, earliest: earliest)
        }
        return record.problems
    }

    private mutating func checkID(_ record: inout TraceRecord, line: Int) {
        guard let id = record.id else { return }
        if let first = lineOfID[id] {
            record.report(
                .id, found: "`\(id.neutralised())`", expected: "an id of its own, this one is line \(first)'s")
        } else {
            lineOfID[id] = line
        }
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
        guard record.turn != previous.map({ $0.turn + 1 }) ?? 0 else { return }
        let expected =
            if let previous { "`\(previous.turn + 1)`, as line \(previous.line) is turn \(previous.turn)" } else {
                record.conversation == nil
                    ? "`0`, as the request names no conversation" : "`0`, as its conversation has no earlier line"
            }
        record.report(.turn, found: "`\(record.turn)`", expected: expected)
    }

    /// Checks that the prompt can begin with the previous turn's prompt and answer, and does where ids are given.
    private func checkHistory(_ record: inout TraceRecord, _ previous: LastTurn) {
        guard let index = previous.index, let count = record.prompt.count else { return }
        let before = requests[index]
        let history = before.promptTokens + before.outputTokens
        guard count >= history else {
            record.report(
                record.promptField, found: "`\(count)` tokens",
                expected: "at least \(history), the prompt and output of line \(previous.line)")
            return
        }
        guard let ids = record.prompt.ids else { return }
        for (part, start) in [(before.prompt, 0), (before.output, before.promptTokens)] {
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
