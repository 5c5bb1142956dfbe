/// One micro-batch of training on records, layer by layer, as far as the choice of save plans decides how long it takes.
///
/// Copies from the host go one after the other: K and V of all layers, then the inputs of the final norm, then the
/// layers' activations from the last to the first. The copy of a layer begins no earlier than the layer
/// `prefetchLayers + 1` above it has been used up: `ReloadPlan` gives the same number of layers room, or more if they are
/// of different sizes, so the trainer never waits longer than this says. Work waits for the copies that it reads.
public struct RecordedStep: Sendable {
    /// What one save plan costs in one layer.
    public struct Choice: Sendable, Equatable {
        public var plan: SavePlan
        /// Activations that are recorded under it.
        public var bytes: Bytes
        /// Work to make again what it does not keep.
        public var recompute: SimDuration

        public init(plan: SavePlan, bytes: Bytes, recompute: SimDuration) {
            self.plan = plan
            self.bytes = bytes
            self.recompute = recompute
        }
    }

    public struct Layer: Sendable {
        public var choices: [Choice]
        /// Of the tokens that are not recorded.
        public var forward: SimDuration
        public var backward: SimDuration

        public init(choices: [Choice], forward: SimDuration, backward: SimDuration) {
            self.choices = choices
            self.forward = forward
            self.backward = backward
        }
    }

    /// How records come back from the host.
    public struct Link: Sendable {
        /// Bytes per second.
        public var bandwidth: Double
        /// Fixed cost of one transfer.
        public var latency: SimDuration
        /// Transfers that one layer's pieces take.
        public var transfers: Int
        /// Layers that may be on the device ahead of the one in use.
        public var prefetchLayers: Int

        public init(bandwidth: Double, latency: SimDuration, transfers: Int, prefetchLayers: Int) {
            self.bandwidth = bandwidth
            self.latency = latency
            self.transfers = transfers
            self.prefetchLayers = prefetchLayers
        }

        func time(of bytes: Bytes) -> Int64 {
            guard bytes > .zero else { return 0 }
            let moving = (Double(bytes.count) * 1e9 / bandwidth).rounded(.up)
            return latency.nanoseconds * Int64(transfers) + Int64(moving)
        }
    }

    /// From the first layer to the last.
    public var layers: [Layer]
    /// K and V of one layer.
    public var kvBytes: Bytes
    /// Inputs of the final norm.
    public var finalBytes: Bytes
    /// The reference model's pass, before everything else; copies go beside it.
    public var reference: SimDuration
    public var loss: SimDuration
    /// Norm and optimizer.
    public var closing: SimDuration
    /// Absent where records stay on the device.
    public var link: Link?

    public init(
        layers: [Layer], kvBytes: Bytes, finalBytes: Bytes, reference: SimDuration = .zero, loss: SimDuration,
        closing: SimDuration, link: Link?
    ) {
        self.reference = reference
        self.layers = layers
        self.kvBytes = kvBytes
        self.finalBytes = finalBytes
        self.loss = loss
        self.closing = closing
        self.link = link
    }

    /// What any plan records: K and V, and the inputs of the final norm.
    public var fixedBytes: Bytes { kvBytes * layers.count + finalBytes }

    /// What comes of a choice for every layer.
    public struct Outcome: Sendable, Equatable {
        /// Everything that is recorded.
        public var bytes: Bytes
        public var recompute: SimDuration
        /// Time in which the trainer waits for copies.
        public var stall: SimDuration
        /// The whole step.
        public var duration: SimDuration
    }

    /// Runs the step's timeline.
    ///
    /// - Parameter chosen: index among each layer's choices, from the first layer to the last.
    public func outcome(of chosen: [Int]) -> Outcome {
        precondition(chosen.count == layers.count, "a choice for every layer")
        var timeline = Timeline(of: self)
        var bytes = fixedBytes
        var recompute = SimDuration.zero
        for layer in layers.indices.reversed() {
            let choice = layers[layer].choices[chosen[layer]]
            timeline.run(choice, backward: layers[layer].backward, link: link)
            bytes += choice.bytes
            recompute += choice.recompute
        }
        let work = layers.reduce(reference + loss + closing + recompute) { $0 + $1.forward + $1.backward }
        let duration = SimDuration(nanoseconds: timeline.end) + closing
        return Outcome(bytes: bytes, recompute: recompute, stall: duration - work, duration: duration)
    }

    /// Where compute stream and copy engine are after some of the layers' backward passes. Everything that follows only
    /// grows with each of its parts.
    struct Timeline: Sendable {
        /// When the copy engine is free.
        private(set) var copied: Int64
        /// When the compute stream is free.
        private(set) var end: Int64
        /// When the layers were used up that the next copies wait for, the oldest first, as far as that is later than
        /// `copied`: the copy engine is busy until then in any case.
        private var used: [Int64]

        /// After the forward pass and the loss.
        init(of step: RecordedStep) {
            var copied: Int64 = 0
            let kvTime = step.link?.time(of: step.kvBytes) ?? 0
            var end = step.reference.nanoseconds
            for layer in step.layers {
                copied += kvTime
                // Tokens that run forward attend to the recorded ones before them.
                if layer.forward > .zero { end = max(end, copied) + layer.forward.nanoseconds }
            }
            copied += step.link?.time(of: step.finalBytes) ?? 0
            end = max(end, copied) + step.loss.nanoseconds
            self.copied = copied
            self.end = end
            // Nothing before the loss keeps room from the first copies.
            used = step.link.map { [Int64](repeating: copied, count: $0.prefetchLayers) + [end] } ?? []
        }

        mutating func run(_ choice: Choice, backward: SimDuration, link: Link?) {
            let work = choice.recompute.nanoseconds + backward.nanoseconds
            guard let link else {
                end += work
                return
            }
            if choice.bytes > .zero { copied = max(copied, used[0]) + link.time(of: choice.bytes) }
            end = max(end, copied) + work
            for index in used.indices.dropLast() { used[index] = max(used[index + 1], copied) }
            used[used.count - 1] = end
        }

        /// Whether nothing is later here than in `other`.
        func isNoLater(than other: Timeline) -> Bool {
            guard copied <= other.copied, end <= other.end else { return false }
            for index in used.indices where used[index] > other.used[index] { return false }
            return true
        }
    }
}
