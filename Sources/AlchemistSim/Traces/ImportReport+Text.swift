internal import Foundation
public import Simulator

extension ImportReport {
    /// What was read, written and left out, a line each.
    public var text: String {
        var lines = ["read \(rows) rows of \(format.rawValue)\(isCut ? ", up to --limit" : "")"]
        lines.append("wrote \(requests) requests, \(promptTokens) prompt tokens, \(outputTokens) output tokens")
        lines.append(hasArrivals ? "arrivals are the source's" : "arrivals are made up, the source has none")
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
            "arrivals": "\(hasArrivals ? "source" : "poisson")", "limited": \(isCut), \
            "dropped": {\(reasons.joined(separator: ", "))}}
            """
    }
}
