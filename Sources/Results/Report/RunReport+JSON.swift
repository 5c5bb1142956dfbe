public import Foundation
internal import Simulator

extension RunReport: Encodable {
    /// One object with `arms` by name, the run's own `comparison` (null if there is none) and all `comparisons`, and
    /// `paired`, the comparisons over one common table of costs.
    ///
    /// Each metric stands under its name, with its extremes over the repeats under `_min` and `_max`; one that does not
    /// apply is null.
    public func encode(to encoder: any Encoder) throws {
        var root = encoder.container(keyedBy: Key.self)
        var arms = root.nestedContainer(keyedBy: Key.self, forKey: Key("arms"))
        for arm in self.arms { try arms.encode(arm, forKey: Key(arm.name)) }
        try root.encode(comparisons.first, forKey: Key("comparison"))
        try root.encode(comparisons, forKey: Key("comparisons"))
        try root.encode(paired, forKey: Key("paired"))
    }

    /// The JSON text, with keys in alphabetical order: equal reports give equal bytes.
    public func json() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(self)
    }
}

extension ArmReport: Encodable {
    public func encode(to encoder: any Encoder) throws {
        var object = encoder.container(keyedBy: Key.self)
        try object.encode(status.rawValue, forKey: Key("status"))
        try object.encode(repeats.count, forKey: Key("repeats"))
        for metric in ArmSummary.metrics { try object.encode(spread(of: metric), named: metric.name) }
    }
}

extension Comparison: Encodable {
    public func encode(to encoder: any Encoder) throws {
        var object = encoder.container(keyedBy: Key.self)
        try object.encode(baseline, forKey: Key("baseline"))
        try object.encode(candidate, forKey: Key("candidate"))
        try object.encode(reference, forKey: Key("reference"))
        for metric in Self.metrics { try object.encode(spread(of: metric), named: metric.name) }
    }
}

/// A key that is data: a metric's or an arm's name.
private struct Key: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }

    init(_ name: String) { stringValue = name }
    init(stringValue: String) { self.init(stringValue) }
    init?(intValue: Int) { nil }
}

extension KeyedEncodingContainer<Key> {
    fileprivate mutating func encode(_ spread: Spread?, named name: String) throws {
        for part in Spread.parts {
            // The optional itself: `null` where there is no figure.
            try encode(spread.map(part.value), forKey: Key(name + part.suffix))
        }
    }
}
