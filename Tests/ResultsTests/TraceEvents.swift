import Foundation

/// Checks a file against the rules of the trace-event format ("Trace Event Format", the Chromium project): what each phase
/// must have, spans of a track that lie apart or inside each other, counters that go forward in time, always have the same
/// series, and say at their end how long the last levels held.
enum TraceEvents {
    struct Span {
        var name: String
        var start: Int64
        var end: Int64
    }

    /// Returns everything that is wrong; nothing is the aim.
    static func problems(in data: Data) -> [String] {
        guard let root = try? JSONSerialization.jsonObject(with: data) as? [String: Any] else {
            return ["no JSON object"]
        }
        guard let events = root["traceEvents"] as? [[String: Any]] else { return ["no traceEvents"] }
        var problems: [String] = []
        if let unit = root["displayTimeUnit"] as? String, !["ms", "ns"].contains(unit) {
            problems.append("displayTimeUnit \(unit)")
        }
        var spans: [[Int]: [Span]] = [:]
        var counted: [String: [(time: Int64, levels: [String: NSNumber])]] = [:]
        var named: (processes: Set<Int>, tracks: Set<[Int]>) = ([], [])
        var used: Set<[Int]> = []
        for (index, event) in events.enumerated() {
            func wrong(_ what: String) { problems.append("event \(index): \(what)") }
            guard let phase = event["ph"] as? String, let name = event["name"] as? String,
                let process = integer(event["pid"]), let thread = integer(event["tid"])
            else {
                wrong("lacks ph, name, pid or tid")
                continue
            }
            if phase == "M" {
                let arguments = event["args"] as? [String: Any]
                switch name {
                case "process_name", "thread_name":
                    if !(arguments?["name"] is String) { wrong("\(name) without a name") }
                    if name == "process_name" {
                        named.processes.insert(process)
                    } else {
                        named.tracks.insert([process, thread])
                    }
                case "process_sort_index", "thread_sort_index":
                    if integer(arguments?["sort_index"]) == nil { wrong("\(name) without an index") }
                default: wrong("metadata \(name)")
                }
                continue
            }
            guard let time = nanoseconds(event["ts"]), time >= 0 else {
                wrong("no time")
                continue
            }
            if !named.processes.contains(process) { wrong("process \(process) has no name yet") }
            switch phase {
            case "X":
                guard let duration = nanoseconds(event["dur"]), duration >= 0 else {
                    wrong("no duration")
                    continue
                }
                if (event["cat"] as? String)?.isEmpty ?? true { wrong("no category") }
                spans[[process, thread], default: []].append(Span(name: name, start: time, end: time + duration))
                used.insert([process, thread])
            case "i":
                if !["g", "p", "t"].contains(event["s"] as? String) { wrong("no scope") }
                used.insert([process, thread])
            case "C":
                guard let levels = event["args"] as? [String: Any], !levels.isEmpty else {
                    wrong("no levels")
                    continue
                }
                for (series, level) in levels where !(level is NSNumber) { wrong("\(series) is no number") }
                let counter = "\(process) \(name)"
                if let last = counted[counter]?.last {
                    if time < last.time { wrong("counter \(name) goes back in time") }
                    if Set(levels.keys) != Set(last.levels.keys) { wrong("counter \(name) has other series") }
                }
                counted[counter, default: []].append((time, levels.compactMapValues { $0 as? NSNumber }))
            default: wrong("phase \(phase)")
            }
        }
        for (counter, samples) in counted {
            guard let last = samples.last, samples.count > 1, samples[samples.count - 2].levels == last.levels else {
                problems.append("counter \(counter) is not closed")
                continue
            }
        }
        for track in used where !named.tracks.contains(track) { problems.append("track \(track) has no name") }
        for (track, all) in spans { problems += overlaps(in: all).map { "track \(track): \($0)" } }
        return problems
    }

    /// Spans in the order of the file: each begins after the one before it has ended, or lies within one that is open.
    private static func overlaps(in spans: [Span]) -> [String] {
        var problems: [String] = []
        var open: [Span] = []
        var last: Int64 = 0
        for span in spans {
            if span.start < last { problems.append("\(span.name) begins before its predecessor") }
            last = span.start
            while let outer = open.last, outer.end <= span.start, !(outer.start == span.start && outer.end == span.end)
            {
                open.removeLast()
            }
            if let outer = open.last, span.end > outer.end {
                problems.append("\(span.name) overlaps \(outer.name) without lying within it")
            }
            open.append(span)
        }
        return problems
    }

    private static func integer(_ value: Any?) -> Int? { (value as? NSNumber)?.intValue }

    /// Microseconds with three decimals, exactly.
    static func nanoseconds(_ value: Any?) -> Int64? {
        guard let number = value as? NSNumber else { return nil }
        return Int64((number.doubleValue * 1000).rounded())
    }
}
