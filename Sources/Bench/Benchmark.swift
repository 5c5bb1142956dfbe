/// What bounds a benchmark from above, measured on the same machine in the same minutes.
enum Limit: String, CaseIterable {
    /// FLOP/s of a 2048-cubed matrix product on the pool.
    case arithmetic = "sgemm"
    /// Bytes per second of a read on all threads of a buffer far larger than the caches.
    case streaming = "read"
}

/// Something to time.
struct Benchmark {
    /// What it prints, and what `--filter` looks at.
    let name: String
    /// Tokens that one execution handles.
    let tokens: Int
    /// FLOPs, or bytes to be read, of one execution.
    let work: Double
    let limit: Limit
    /// Makes ready, outside the clock; the closure returned is one execution.
    let prepare: (Bench) -> () -> Void
}

/// A figure, ready to be printed and stored.
struct Figure: Encodable {
    let name: String
    /// The median over the rounds.
    let value: Double
    let unit: String
    /// Of the limit measured beside each round; nil for what has none.
    let limitFraction: Double?
    /// Lowest and highest of the rounds.
    let range: ClosedRange<Double>

    enum CodingKeys: String, CodingKey {
        case name, value, unit
        case limitFraction = "limit_fraction"
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(name, forKey: .name)
        try container.encode(value, forKey: .value)
        try container.encode(unit, forKey: .unit)
        // A figure without a limit says null, so that every row has the same keys.
        try container.encode(limitFraction, forKey: .limitFraction)
    }

    init(_ name: String, _ values: [Double], unit: String, fractions: [Double] = []) {
        self.name = name
        self.unit = unit
        value = values.median
        limitFraction = fractions.isEmpty ? nil : fractions.median
        range = (values.min() ?? 0)...(values.max() ?? 0)
    }
}

extension [Double] {
    /// The middle one, or the mean of the two in the middle.
    var median: Double {
        let sorted = sorted()
        guard let first = sorted.first else { return .nan }
        let middle = sorted.count / 2
        if sorted.count == 1 { return first }
        return sorted.count.isMultiple(of: 2) ? (sorted[middle - 1] + sorted[middle]) / 2 : sorted[middle]
    }
}
