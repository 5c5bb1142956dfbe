extension Schema {
    /// `/comparison`: one row per comparison.
    static var comparisonColumns: [Column<Comparison>] {
        [
            .text("baseline", "the arm that is compared with", \.baseline),
            .text("candidate", "the arm that is compared", \.candidate),
            .text(ifAny: "reference", "the arm that only serves, for latency ratios", \.reference),
        ]
            + Comparison.metrics.flatMap { metric in
                Spread.parts.map { part in
                    .real(ifAny: metric.name + part.suffix, metric.unit, metric.description + part.text) { comparison in
                        comparison.spread(of: metric).map(part.value)
                    }
                }
            }
    }
}
