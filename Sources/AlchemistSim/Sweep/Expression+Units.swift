internal import Results

/// Units of what is compared: a figure's is known, and a constant's is the one that it is written with.
extension Expression {
    /// What a side of a comparison counts in.
    private enum Kind: Equatable {
        case truth
        /// A number without a unit.
        case plain
        /// Zero is the same in all units.
        case zero
        case share
        case bandwidth
        case figure(MetricUnit)
        /// A product or quotient in units that nothing else has.
        case other
    }

    /// Refuses a condition that compares, or adds, what has different units, or that is none.
    ///
    /// - Parameter unit: of a figure, by its name; every name is a figure's.
    func checkUnits(_ unit: (String) -> MetricUnit?) throws(ValueProblem) {
        guard try Self.kind(of: root, unit) == .truth else {
            throw ValueProblem(expected: "a comparison, such as `ttft_p90 <= 1s`")
        }
    }

    private static func kind(of node: Node, _ unit: (String) -> MetricUnit?) throws(ValueProblem) -> Kind {
        switch node {
        case .value(.number(0), _): return .zero
        case .value(.number, let unit):
            return switch unit {
            case .none: .plain
            case .time: .figure(.seconds)
            case .memory: .figure(.bytes)
            case .bandwidth: .bandwidth
            case .share: .share
            }
        case .value: throw ValueProblem(expected: "numbers and figures, no text")
        case .name(let name): return unit(name).map(Kind.figure) ?? .other
        case .not(let inner): return try truth(inner, "after `not`", unit)
        case .negative(let inner): return try number(inner, "-", unit)
        case .binary(let sign, let left, let right):
            switch sign {
            case .and, .or:
                _ = try truth(left, "on both sides of `\(sign.rawValue)`", unit)
                return try truth(right, "on both sides of `\(sign.rawValue)`", unit)
            case .times, .over:
                return product(try number(left, sign.rawValue, unit), sign, try number(right, sign.rawValue, unit))
            default:
                let (a, b) = (try number(left, sign.rawValue, unit), try number(right, sign.rawValue, unit))
                guard let common = common(a, b) else {
                    throw ValueProblem(
                        expected: "the same unit on both sides of `\(sign.rawValue)`, not \(text(a)) and \(text(b))"
                            + (hint(a, b) ?? hint(b, a) ?? ""))
                }
                return [.plus, .minus].contains(sign) ? common : .truth
            }
        }
    }

    private static func truth(
        _ node: Node, _ place: String, _ unit: (String) -> MetricUnit?
    ) throws(ValueProblem) -> Kind {
        guard try kind(of: node, unit) == .truth else { throw ValueProblem(expected: "comparisons \(place)") }
        return .truth
    }

    private static func number(
        _ node: Node, _ sign: String, _ unit: (String) -> MetricUnit?
    ) throws(ValueProblem) -> Kind {
        let kind = try kind(of: node, unit)
        guard kind != .truth else { throw ValueProblem(expected: "numbers on both sides of `\(sign)`") }
        return kind
    }

    /// The unit that both have; nil if they have none in common.
    private static func common(_ a: Kind, _ b: Kind) -> Kind? {
        switch (a, b) {
        case _ where a == b: a
        case (.zero, let other), (let other, .zero), (.other, let other), (let other, .other): other
        case (.plain, .figure(let unit)), (.figure(let unit), .plain): isWritten(unit) ? nil : .figure(unit)
        case (.share, .figure(.one)), (.figure(.one), .share), (.share, .plain), (.plain, .share): .figure(.one)
        default: nil
        }
    }

    private static func product(_ a: Kind, _ sign: Operator, _ b: Kind) -> Kind {
        func isFactor(_ kind: Kind) -> Bool { [.plain, .share, .zero, .figure(.one)].contains(kind) }
        if isFactor(b) { return a }
        if sign == .times { return isFactor(a) ? b : .other }
        return a == b ? .figure(.one) : .other
    }

    /// Whether constants are written with this unit: all others have no sign of their own.
    private static func isWritten(_ unit: MetricUnit) -> Bool {
        switch unit {
        case .seconds, .nanoseconds, .bytes: true
        case .one, .tokens, .perSecond, .tokensPerSecond, .nats: false
        }
    }

    private static func text(_ kind: Kind) -> String {
        switch kind {
        case .plain, .zero: "a number without a unit"
        case .share: "a share"
        case .bandwidth: "a bandwidth"
        case .figure(.seconds): "a time"
        case .figure(.bytes): "an amount of memory"
        case .figure(.one): "a figure without a unit"
        case .figure(let unit): "a figure in \(unit.rawValue)"
        case .truth, .other: "something else"
        }
    }

    private static func hint(_ a: Kind, _ b: Kind) -> String? {
        guard b == .plain else { return nil }
        return switch a {
        case .figure(.seconds): ": write a time as 500ms or 2s"
        case .figure(.bytes): ": write memory as 4GiB"
        default: nil
        }
    }
}
