/// Finds the save plan of every layer that makes training fastest within what link and memory can carry.
///
/// What a token's record may take is limited: by the memory that holds the records, and by the link that takes them away
/// as fast as serving makes them. Where a plan takes more, only some requests can be recorded and the others are
/// recomputed, in proportion. Expected time of a step: `c T(plan) + (1 - c) T(recompute)`, with
/// `c = min(1, allowed bytes / bytes(plan))`.
///
/// The search is exact. It goes through the layers as backward does and keeps every partial choice that no other beats in
/// bytes and in every part of its timeline at once; whatever follows only grows with these, so nothing that is dropped
/// could have been completed to something better. Should there ever be more than `mostStates` of them, as with many layers
/// and a long prefetch, only the fastest of about equal bytes are followed up, and the plans say so.
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

    /// Partial choices that are followed up at most.
    public static let mostStates = 6000

    /// Plans, and whether they are known to be the best.
    public struct Search: Sendable {
        /// Every plan that no other beats in both bytes and time, in ascending order of bytes.
        public var efficient: [Plan]
        /// Whether nothing was left out.
        public var isExact: Bool
        private let recomputed: Double

        fileprivate init(efficient: [Plan], isExact: Bool, recomputed: Double) {
            self.efficient = efficient
            self.isExact = isExact
            self.recomputed = recomputed
        }

        /// The plan with the least expected time; of several, the one with the fewest bytes. Where every plan takes longer
        /// than recomputing, and the best would be to record nothing, the one whose step is shortest.
        public var best: Plan? {
            func order(_ plan: Plan) -> (Double, SimDuration, Bytes) {
                (min(plan.expectedSeconds, recomputed), plan.outcome.duration, plan.outcome.bytes)
            }
            return efficient.min { order($0) < order($1) }
        }
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

    /// Searches all choices.
    public func search() -> Search {
        let (states, isExact) = finalStates()
        var plans: [Plan] = []
        var last = Int64.max
        for state in states.sorted(by: Self.inOrder) where state.timeline.end < last {
            last = state.timeline.end
            plans.append(plan(of: state.chosen.reversed()))
        }
        return Search(efficient: plans, isExact: isExact, recomputed: recomputed.seconds)
    }

    // MARK: Search

    /// Choices for the layers from the last one down to some layer.
    private struct State {
        var bytes: Int
        var timeline: RecordedStep.Timeline
        /// From the last layer downwards.
        var chosen: [Int]
    }

    private static func inOrder(_ a: State, _ b: State) -> Bool {
        (a.bytes, a.timeline.end, a.timeline.copied) < (b.bytes, b.timeline.end, b.timeline.copied)
    }

    private func finalStates() -> (states: [State], isExact: Bool) {
        var states = [State(bytes: 0, timeline: RecordedStep.Timeline(of: step), chosen: [])]
        var isExact = true
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
            if states.count > Self.mostStates {
                states = Self.thinned(states)
                isExact = false
            }
        }
        return (states, isExact)
    }

    /// Those that no other state beats, one of each that are equal, in order.
    private static func unbeaten(_ states: [State]) -> [State] {
        var kept: [State] = []
        for state in states.sorted(by: inOrder) {
            // Whatever beats it has no more bytes and so came before it; most likely not long before.
            if kept.lazy.reversed().contains(where: { $0.timeline.isNoLater(than: state.timeline) }) { continue }
            kept.append(state)
        }
        return kept
    }

    /// Half as many as may be: of those with about equal bytes the ones that end first.
    private static func thinned(_ states: [State]) -> [State] {
        guard let least = states.first?.bytes, let most = states.last?.bytes, most > least else {
            return Array(states.prefix(mostStates / 2))
        }
        let groups = 500
        let width = (most - least) / groups + 1
        return Dictionary(grouping: states) { ($0.bytes - least) / width }.values.flatMap { group in
            group.sorted { ($0.timeline.end, $0.timeline.copied) < ($1.timeline.end, $1.timeline.copied) }
                .prefix(mostStates / 2 / groups)
        }.sorted(by: inOrder)
    }
}
