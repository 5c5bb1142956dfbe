/// Finds the save plan of every layer that makes training fastest within what link and memory can carry.
///
/// What a token's record may take is limited: by the memory that holds the records, and by the link that takes them away
/// as fast as serving makes them. Where a plan takes more, only some requests can be recorded and the others are
/// recomputed, in proportion. Expected time of a step: `c T(plan) + (1 - c) T(recompute)`, with
/// `c = min(1, allowed bytes / bytes(plan))`.
///
/// The search is exact. It goes through the layers as backward does and keeps every partial choice that no other beats in
/// bytes and in every part of its timeline at once; whatever follows only grows with these, so nothing that is dropped
/// could have been completed to something better.
public struct SavePlanner: Sendable {
    public var step: RecordedStep
    /// The step without records.
    public var recomputed: SimDuration
    /// What the records of the step's tokens may take on average; nil for no limit.
    public var allowedBytes: Double?

    public init(step: RecordedStep, recomputed: SimDuration, allowedBytes: Double?) {
        self.step = step
        self.recomputed = recomputed
        self.allowedBytes = allowedBytes
    }

    /// A choice for every layer, and what comes of it.
    public struct Plan: Sendable, Equatable {
        public var layers: [SavePlan]
        public var outcome: RecordedStep.Outcome
        /// Share of requests that can be recorded.
        public var coverage: Double
        /// Seconds of a step, over recorded and other requests.
        public var expectedSeconds: Double
    }

    /// The plan with the least expected time; of several, the one with the fewest bytes. Where every plan takes longer than
    /// recomputing, and the best would be to record nothing, the one whose step is shortest.
    public func best() -> Plan? {
        func order(_ plan: Plan) -> (Double, SimDuration, Bytes) {
            (min(plan.expectedSeconds, recomputed.seconds), plan.outcome.duration, plan.outcome.bytes)
        }
        return efficient().min { order($0) < order($1) }
    }

    /// The same plan in every layer.
    public func fixed(_ plan: SavePlan) -> Plan? {
        var chosen: [Int] = []
        for layer in step.layers {
            guard let index = layer.choices.firstIndex(where: { $0.plan == plan }) else { return nil }
            chosen.append(index)
        }
        return self.plan(of: chosen)
    }

    /// What comes of a choice for every layer.
    public func plan(of chosen: [Int]) -> Plan {
        let outcome = step.outcome(of: chosen)
        let coverage = allowedBytes.map { min(1, $0 / Double(max(1, outcome.bytes.count))) } ?? 1
        return Plan(
            layers: zip(step.layers, chosen).map { $0.choices[$1].plan }, outcome: outcome, coverage: coverage,
            expectedSeconds: coverage * outcome.duration.seconds + (1 - coverage) * recomputed.seconds)
    }

    /// Every plan that no other beats in both bytes and time, in ascending order of bytes.
    public func efficient() -> [Plan] {
        var plans: [Plan] = []
        for state in finalStates().sorted(by: { ($0.bytes, $0.timeline.end) < ($1.bytes, $1.timeline.end) }) {
            if let last = plans.last,
                last.outcome.duration.nanoseconds
                    <= state.timeline.end + step.closing.nanoseconds
            {
                continue
            }
            plans.append(plan(of: state.chosen.reversed()))
        }
        return plans
    }

    // MARK: Search

    /// Choices for the layers from the last one down to some layer.
    private struct State {
        var bytes: Int
        var timeline: RecordedStep.Timeline
        /// From the last layer downwards.
        var chosen: [Int]
    }

    private func finalStates() -> [State] {
        var states = [State(bytes: 0, timeline: RecordedStep.Timeline(of: step), chosen: [])]
        for layer in step.layers.reversed() {
            var next: [State] = []
            next.reserveCapacity(states.count * layer.choices.count)
            for state in states {
                for (index, choice) in layer.choices.enumerated() {
                    var grown = state
                    grown.bytes += choice.bytes.count
                    grown.timeline.run(choice, backward: layer.backward, link: step.link)
                    grown.chosen.append(index)
                    next.append(grown)
                }
            }
            states = Self.unbeaten(next)
        }
        return states
    }

    /// Those that no other state beats, one of each that are equal.
    private static func unbeaten(_ states: [State]) -> [State] {
        var kept: [State] = []
        for state in states.sorted(by: { ($0.bytes, $0.timeline.end) < ($1.bytes, $1.timeline.end) }) {
            // Whatever beats it has no more bytes and so came before it.
            if kept.contains(where: { $0.timeline.isNoLater(than: state.timeline) }) { continue }
            kept.append(state)
        }
        return kept
    }
}
