internal import Foundation
public import Simulator

extension TraceSummary {
    /// The figures as a table, and beside a fit's data set if there is one.
    public func table(source: String, beside comparison: FitComparison? = nil) -> String {
        func row(_ name: String, _ spread: Distribution) -> String {
            let figures = [
                spread.mean, spread.deviation, Double(spread.least), spread.p50, spread.p90, spread.p95, spread.p99,
                Double(spread.most),
            ]
            return Self.row(name, figures.map { $0.formatted(decimals: name == "turns" ? 1 : 0) })
        }
        var lines = [
            "\(source): \(requests) requests in \(conversations) conversations over "
                + "\(span.seconds.formatted(decimals: 1)) s, \(hasIDs ? "with token ids" : "lengths only")",
            "", Self.row("", ["mean", "std", "min", "p50", "p90", "p95", "p99", "max"]),
            row("prompt tokens", prompt), row("output tokens", output), row("turns", turns), "",
        ]
        let decimals = 3
        lines.append("p (prompt share of tokens run)    \(prefillShare.formatted(decimals: decimals))")
        lines.append(
            "shared prompt tokens              \((100 * sharedShare).formatted(decimals: 1)) %; p when they are cached "
                + cachedPrefillShare.formatted(decimals: decimals))
        lines.append("rate                              \(arrivals.rate.map { $0.formatted(decimals: 3) } ?? "-") requests/s")
        lines.append(
            "gap CV, burstiness                \(arrivals.gapVariation.map { $0.formatted(decimals: 3) } ?? "-"), "
                + (arrivals.burstiness.map { $0.formatted(decimals: 3) } ?? "-"))
        let windows = arrivals.dispersion.sorted { $0.key < $1.key }.map {
            "\($0.value.formatted(decimals: 2)) (\($0.key.formatted(decimals: 0)) s)"
        }
        lines.append("dispersion of counts              \(windows.isEmpty ? "-" : windows.joined(separator: ", "))")
        let kinds = Feedback.Kind.allCases.compactMap { kind in feedbackKinds[kind].map { "\($0) \(kind.rawValue)" } }
        lines.append(
            "feedback                          given \(feedbackGiven)"
                + (kinds.isEmpty ? "" : " (\(kinds.joined(separator: ", ")))")
                + ", none \(feedbackNone), unstated \(feedbackUnstated)")
        if let comparison { lines += Self.lines(comparison) }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func row(_ name: String, _ cells: [String]) -> String {
        name.padding(toLength: 16, withPad: " ", startingAt: 0)
            + cells.map { String(repeating: " ", count: max(1, 10 - $0.count)) + $0 }.joined()
    }

    private static func lines(_ comparison: FitComparison) -> [String] {
        func row(_ name: String, _ side: FitComparison.Side) -> String {
            Self.row(
                name,
                [side.mean, side.p50, side.p90, side.p99].map { "\((100 * $0).formatted(decimals: 1)) %" }
                    + [side.distance.formatted(decimals: 4)])
        }
        return [
            "", Self.row("", ["mean", "p50", "p90", "p99", "KS"]) + "   against \(comparison.fit.rawValue)",
            row("prompt tokens", comparison.prompt), row("output tokens", comparison.output),
        ]
    }
}

/// The figures of `trace stats --json`, which `plots/trace_stats.py` draws. Times are in seconds, lengths in tokens.
public struct TraceStatistics: Encodable {
    struct Spread: Encodable {
        let mean, std, p50, p90, p95, p99: Double
        let min, max: Int
        let percentiles: [Double]

        init(_ spread: TraceSummary.Distribution) {
            (mean, std) = (spread.mean, spread.deviation)
            (p50, p90, p95, p99) = (spread.p50, spread.p90, spread.p95, spread.p99)
            (min, max) = (spread.least, spread.most)
            percentiles = spread.percentiles
        }
    }

    struct Difference: Encodable {
        let mean, p50, p90, p99, ks: Double

        init(_ side: FitComparison.Side) {
            (mean, p50, p90, p99) = (side.mean, side.p50, side.p90, side.p99)
            ks = side.distance
        }
    }

    struct Against: Encodable {
        let fit: String
        let prompt_tokens, output_tokens: Difference
        /// The data set's own quantiles at `levels`.
        let levels, prompt_quantiles, output_quantiles: [Double]
    }

    let source: String
    let requests, conversations, total_prompt_tokens, total_output_tokens, shared_prompt_tokens: Int
    let prompt_tokens, output_tokens, turns: Spread
    let p, p_cached, shared_share, span: Double
    let rate, gap_cv, burstiness: Double?
    let dispersion: [String: Double]
    let arrivals: [Int]
    let feedback: [String: Int]
    let has_ids: Bool
    let against: Against?

    public init(_ summary: TraceSummary, source: String, beside comparison: FitComparison? = nil) {
        self.source = source
        requests = summary.requests
        conversations = summary.conversations
        total_prompt_tokens = summary.totalPromptTokens
        total_output_tokens = summary.totalOutputTokens
        shared_prompt_tokens = summary.sharedPromptTokens
        prompt_tokens = Spread(summary.prompt)
        output_tokens = Spread(summary.output)
        turns = Spread(summary.turns)
        p = summary.prefillShare
        p_cached = summary.cachedPrefillShare
        shared_share = summary.sharedShare
        span = summary.span.seconds
        rate = summary.arrivals.rate
        gap_cv = summary.arrivals.gapVariation
        burstiness = summary.arrivals.burstiness
        dispersion = Dictionary(
            uniqueKeysWithValues: summary.arrivals.dispersion.map { ("\($0.key.formatted(decimals: 0))", $0.value) })
        arrivals = summary.arrivals.series
        var feedback = ["none": summary.feedbackNone, "unstated": summary.feedbackUnstated]
        for (kind, count) in summary.feedbackKinds { feedback[kind.rawValue] = count }
        self.feedback = feedback
        has_ids = summary.hasIDs
        against = comparison.map {
            Against(
                fit: $0.fit.rawValue, prompt_tokens: Difference($0.prompt), output_tokens: Difference($0.output),
                levels: QuantileTable.levels, prompt_quantiles: $0.prompt.target.table.values,
                output_quantiles: $0.output.target.table.values)
        }
    }

    /// One JSON object, its fields in alphabetical order.
    public func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }
}
