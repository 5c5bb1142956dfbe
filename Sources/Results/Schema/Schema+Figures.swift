/// The figures drawn from the logs: `/arms/NAME/summary` and `/comparison`.
extension Schema {
    /// What is written of a metric over the repeats, under which names.
    static let spreadParts: [(suffix: String, text: String, value: @Sendable (Spread) -> Double)] = [
        ("", "; median over repeats", { $0.median }),
        ("_min", "; lowest of all repeats", { $0.minimum }),
        ("_max", "; highest of all repeats", { $0.maximum }),
    ]

    /// One row per comparison.
    static var comparisonColumns: [Column<Comparison>] {
        [
            .text("baseline", "the arm that is compared with", \.baseline),
            .text("candidate", "the arm that is compared", \.candidate),
            .text(ifAny: "reference", "the arm that only serves, for latency ratios", \.reference),
        ]
            + Comparison.metrics.flatMap { metric in
                spreadParts.map { part in
                    .real(ifAny: metric.name + part.suffix, metric.unit, metric.description + part.text) { comparison in
                        comparison.spread(of: metric).map(part.value)
                    }
                }
            }
    }
}
