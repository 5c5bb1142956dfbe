/// The unit of a column or metric, as it stands in the file.
public enum MetricUnit: String, Sendable, CaseIterable {
    /// Counts, ratios, codes and texts.
    case one = "1"
    case nanoseconds = "ns"
    case seconds = "s"
    case bytes = "B"
    case tokens
    case perSecond = "1/s"
    case tokensPerSecond = "tokens/s"
    case nats
}
