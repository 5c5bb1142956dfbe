internal import Foundation
public import Simulator

extension ImportReport {
    /// What was read, written and left out, a line each.
    public var text: String {
        let unit = format == .shareGPT ? "conversations" : "rows"
        var lines = [
            "read \(rows) \(unit) of \(format.rawValue)"
                + (isCut ? "; --limit was reached, what comes behind was not read" : "")
        ]
        lines.append("wrote \(requests) requests, \(promptTokens) prompt tokens, \(outputTokens) output tokens")
        lines.append(
            hasArrivals
                ? "arrivals are the source's"
                : "arrivals are made up, the source has none"
                    + (idleInstants > 0
                        ? "; at \(idleInstants) instants no turn was ready any more, so the rate falls at the end" : "")
        )
        for reason in DropReason.allCases {
            if let count = dropped[reason] { lines.append("dropped \(count) \(reason.rawValue)") }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// The same as one JSON object.
    public var json: String {
        let reasons = DropReason.allCases.compactMap { reason in
            dropped[reason].map { "\"\(reason)\": \($0)" }
        }
        return """
            {"format": "\(format.rawValue)", "rows": \(rows), "requests": \(requests), \
            "prompt_tokens": \(promptTokens), "output_tokens": \(outputTokens), \
            "arrivals": "\(hasArrivals ? "source" : "poisson")", "idle_instants": \(idleInstants), \
            "limit_reached": \(isCut), \
            "dropped": {\(reasons.joined(separator: ", "))}}
            """
    }
}
