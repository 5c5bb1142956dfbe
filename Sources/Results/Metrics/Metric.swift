/// A figure with a name, a unit and a definition, drawn from some subject.
///
/// Every consumer walks the same table of metrics: the file, the JSON form and the test that compares `docs/metrics.md`
/// with what is written.
public struct Metric<Subject>: Sendable {
    /// In snake case, as it stands in files and JSON.
    public let name: String
    public let unit: MetricUnit
    /// One line.
    public let description: String
    /// `nil` where the figure does not apply.
    public let value: @Sendable (Subject) -> Double?

    init(_ name: String, _ unit: MetricUnit, _ description: String, _ value: @escaping @Sendable (Subject) -> Double?) {
        self.name = name
        self.unit = unit
        self.description = description
        self.value = value
    }
}

/// A figure over the repeats of a run: its median between its extremes.
public struct Spread: Sendable, Equatable {
    public var median: Double
    public var minimum: Double
    public var maximum: Double

    /// The spread of the values that are there and finite; `nil` if there is none.
    public init?(_ values: some Sequence<Double?>) {
        let sorted = values.compactMap(\.self).filter(\.isFinite).sorted()
        guard let first = sorted.first, let last = sorted.last else { return nil }
        median = percentile(50, ofSorted: sorted)
        minimum = first
        maximum = last
    }

    /// Under which names files and JSON show a metric's spread, and what they say of each.
    static let parts: [(suffix: String, text: String, value: @Sendable (Spread) -> Double)] = [
        ("", "; median over repeats", { $0.median }),
        ("_min", "; lowest of all repeats", { $0.minimum }),
        ("_max", "; highest of all repeats", { $0.maximum }),
    ]
}

/// The quotient, or `nil` if a term is missing or the denominator is zero.
func ratio(_ numerator: Double?, _ denominator: Double?) -> Double? {
    guard let numerator, let denominator, denominator != 0 else { return nil }
    return numerator / denominator
}
