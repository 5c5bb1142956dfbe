/// Durations of executed plans, by shape.
public struct ReplayTable: Sendable {
    public struct Execution: Sendable, Equatable {
        public var duration: SimDuration
        /// Of a trainer quantum: its units, which sum to `duration`.
        public var units: [SimDuration]

        public init(duration: SimDuration, units: [SimDuration]) {
            self.duration = duration
            self.units = units
        }
    }

    private var executions: [String: [Execution]] = [:]

    public init() {}

    /// Adds the next execution of the shape that `key` spells out.
    public mutating func add(_ key: String, _ execution: Execution) { executions[key, default: []].append(execution) }

    /// How often a shape was executed.
    public func count(of key: String) -> Int { executions[key]?.count ?? 0 }

    /// The `index`-th execution of a shape, from 0.
    public func execution(of key: String, at index: Int) -> Execution? {
        guard let known = executions[key], index < known.count else { return nil }
        return known[index]
    }

    /// The execution whose duration is the median of its shape, the shorter one of the middle two.
    public func median(of key: String) -> Execution? {
        guard let known = executions[key] else { return nil }
        // A stable order: of executions of equal duration the earlier one.
        let order = known.indices.sorted { (known[$0].duration, $0) < (known[$1].duration, $1) }
        return known[order[(order.count - 1) / 2]]
    }
}
