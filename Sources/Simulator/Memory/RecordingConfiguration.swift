/// What serving records for the trainer, and where the records live.
public struct RecordingConfiguration: Sendable, Equatable {
    public enum Scope: String, Sendable, CaseIterable {
        case none
        /// Prompt tokens, as their prefill computes them.
        case prefill
        /// Prompt tokens, and those of the answer as they are decoded.
        case all
    }
    /// When records are copied to the host, and when their device copies go.
    public enum Offload: String, Sendable, CaseIterable {
        /// Records stay on the device until they are trained on.
        case none
        /// Every piece is copied to the host as soon as it exists, and its device copy freed when the copy is done.
        case eager
        /// Every piece is copied as soon as it exists; its device copy goes when something else needs the room, layer 0
        /// first.
        case hedged
        /// Records are copied, oldest first, while the device's free memory is below `headroom`.
        case headroom
    }
    /// What happens when device, link or host do not suffice.
    public enum Backpressure: String, Sendable, CaseIterable {
        /// Records give way: their tokens are computed again.
        case drop
        /// Serving waits while copies are under way that make room.
        case stall
    }
    /// What one transfer to the host moves.
    public enum Granule: String, Sendable, CaseIterable {
        /// All of a request's record, when its last token is recorded.
        case request
        /// All layers of a chunk, at the end of the iteration that made it.
        case chunk
        /// One layer of a chunk, as soon as the iteration is through the layer.
        case layer
    }
    /// When serving does not record, so that nobody waits for it.
    public enum Pause: String, Sendable, CaseIterable {
        case never
        /// In iterations that leave requests waiting for their first turn: what recording adds to their time, all of these
        /// would wait for.
        case waiting
    }
    /// What becomes of prompt tokens that the prefix cache has.
    public enum PrefixHit: String, Sendable, CaseIterable {
        /// A token with a record that may be used is recorded by referring to it; one without is not recorded.
        case link
        /// The same for the tokens before the first without such a record; from there on the request does without the
        /// cache, and prefills and records its tokens.
        case reprefill
    }
    /// Which records a full host gives up for a new one, and, under `stall`, for a swapped sequence.
    public enum HostEviction: String, Sendable, CaseIterable {
        /// None: the new record is refused.
        case none
        /// Those that were offloaded first.
        case oldest
        /// Those that are soonest to expire without feedback, then those of running requests; never a sample's.
        case expiring
    }
    /// Device memory that the offload policy `headroom` keeps free.
    public enum Headroom: Sendable, Equatable {
        case bytes(Bytes)
        /// Of the device's capacity.
        case share(Double)

        public func bytes(of capacity: Bytes) -> Bytes {
            switch self {
            case .bytes(let bytes): bytes
            case .share(let share): Bytes(Int((Double(capacity.count) * share).rounded(.up)))
            }
        }
    }

    public var scope = Scope.none
    public var selection = RecordSelection.all
    public var offload = Offload.eager
    /// What is kept of each recorded token, layer by layer.
    public var plan = LayerPlans(.full)
    /// Whether `plan` is still to be found for the arm's hardware. Until then it is the one that keeps least.
    public var choosesPlan = false
    /// What the values of records are rounded to.
    public var precision = PiecePrecision.own
    public var backpressure = Backpressure.drop
    public var granule = Granule.layer
    public var headroom = Headroom.share(0.1)
    public var hostEviction = HostEviction.none
    public var onPrefixHit = PrefixHit.link
    /// Whether blocks that only the prefix cache holds give way to new records.
    public var evictsPrefixCache = false
    public var pause = Pause.never
    /// How long after a request's end its record waits for feedback before it is thrown away.
    public var keepFor = SimDuration.milliseconds(30_000)
    /// Layers of records that may be on the device ahead of the backward pass.
    public var prefetchLayers = 1

    public init() {}
}

/// Which requests are recorded.
public enum RecordSelection: Sendable, Equatable {
    case all
    /// Each request with this probability.
    case fraction(Double)
    /// Those that a predictor of feedback picks.
    ///
    /// The predictor is simulated: it picks requests that will get feedback with probability `recall`, and the others as
    /// often as gives `precision`, the share of its picks that get feedback. It thus knows the future as well as these
    /// two figures say; they are the user's claim.
    case expectedFeedback(recall: Double, precision: Double)

    /// The probability that a request is recorded.
    ///
    /// - Parameter rate: the share of requests with feedback. A precision below `recall x rate` is out of reach; then
    ///   every request without feedback is picked.
    func probability(hasFeedback: Bool, rate: Double) -> Double {
        switch self {
        case .all: return 1
        case .fraction(let share): return share
        case .expectedFeedback(let recall, let precision):
            guard !hasFeedback else { return recall }
            guard rate < 1 else { return 0 }
            guard precision > 0 else { return 1 }
            return min(1, recall * rate * (1 - precision) / (precision * (1 - rate)))
        }
    }
}
