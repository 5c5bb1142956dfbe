public import Simulator

/// The figures of one arm over its repeats.
public struct ArmReport: Sendable {
    public let name: String
    /// One summary per repeat, in order.
    public let repeats: [ArmSummary]

    public init(name: String, repeats: [ArmSummary]) {
        self.name = name
        self.repeats = repeats
    }

    /// Interrupted if any repeat was, or if the run ended before its first.
    public var status: ArmLog.Status {
        repeats.isEmpty || repeats.contains { $0.status == .interrupted } ? .interrupted : .complete
    }

    public func spread(of metric: Metric<ArmSummary>) -> Spread? { Spread(repeats.lazy.map(metric.value)) }
}

/// The figures of a whole run: what its table and its JSON form show.
public struct RunReport: Sendable {
    public let arms: [ArmReport]
    /// The requests that figures of serving are drawn from.
    public let window: MetricsWindow
    public let comparisons: [Comparison]
    /// The same comparisons over one common table of costs; empty where there was nothing to pair.
    public let paired: [Comparison]

    /// - Throws: `ResultsError` if arms have unusable names or a comparison names an arm that is not there.
    public init(_ result: RunResult) throws(ResultsError) {
        try result.validate()
        window = result.window
        arms = Self.reports(of: result.arms, result)
        comparisons = try Self.compare(result.comparisons, arms)
        paired =
            result.paired.isEmpty
            ? [] : try Self.compare(result.comparisons, Self.reports(of: result.paired, result))
    }

    private static func reports(of arms: [ArmResult], _ result: RunResult) -> [ArmReport] {
        arms.map { arm in
            ArmReport(
                name: arm.name,
                repeats: arm.repeats.map {
                    ArmSummary($0, trace: result.trace, devices: arm.devices, window: result.window)
                })
        }
    }

    private static func compare(
        _ pairs: [ComparedArms], _ arms: [ArmReport]
    ) throws(ResultsError) -> [Comparison] {
        func arm(_ name: String) throws(ResultsError) -> ArmReport {
            guard let arm = arms.first(where: { $0.name == name }) else {
                throw .unknownArm(name, known: arms.map(\.name))
            }
            return arm
        }
        var comparisons: [Comparison] = []
        for pair in pairs {
            let reference: ArmReport? = if let name = pair.reference { try arm(name) } else { nil }
            comparisons.append(
                Comparison(baseline: try arm(pair.baseline), candidate: try arm(pair.candidate), reference: reference))
        }
        return comparisons
    }
}
