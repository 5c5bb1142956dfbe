import Simulator
import Testing

/// A way that a record's bytes can take from the forward pass of serving to the backward pass of training, as what is set so
/// that they take it.
struct RecordPath: Sendable, CustomTestStringConvertible {
    var name: String
    var change: @Sendable (inout ArmConfiguration) -> Void

    init(_ name: String, _ change: @escaping @Sendable (inout ArmConfiguration) -> Void) {
        self.name = name
        self.change = change
    }

    var testDescription: String { name }

    static let all: [RecordPath] = [
        RecordPath("eager offload") { _ in },
        RecordPath("no offload") { $0.recording.offload = .none },
        RecordPath("slow link") { $0.device.linkBandwidth = 3e7 },
        RecordPath("no prefetch") { $0.recording.prefetchLayers = 0 },
        RecordPath("small chunks") { $0.serving.tokenBudget = 9 },
        RecordPath("small quanta") { $0.training.quantumMax = SimDuration(nanoseconds: 60_000) },
        RecordPath("loss on all tokens") { $0.training.lossTokens = .all },
        RecordPath("full tuning") {
            $0.training.tuning = .full
            $0.training.learningRate = 1e-3
        },
        RecordPath("full tuning in quanta that serving comes between") {
            $0.training.tuning = .full
            $0.training.quantumMax = SimDuration(nanoseconds: 20_000)
            $0.training.updateEvery = 1
            $0.training.learningRate = 1e-3
        },
        RecordPath("records without gate and up") { $0.recording.plan = LayerPlans(.lean) },
        RecordPath("records of inputs, kept on the device") {
            $0.recording.plan = LayerPlans(.boundary)
            $0.recording.offload = .none
        },
        RecordPath("other plans in other layers, loss on all tokens, full tuning") {
            $0.recording.plan = LayerPlans(layers: [.boundary, .lean])
            $0.training.lossTokens = .all
            $0.training.tuning = .full
            $0.training.learningRate = 1e-3
        },
        RecordPath("no checkpointing") { $0.training.checkpointing = .none },
        RecordPath("full checkpointing") { $0.training.checkpointing = .full },
        RecordPath("full checkpointing beside lean records in small quanta") {
            $0.training.checkpointing = .full
            $0.recording.plan = LayerPlans(.lean)
            $0.training.quantumMax = SimDuration(nanoseconds: 60_000)
            $0.serving.tokenBudget = 9
        },
        RecordPath("preemption by recomputing") {
            TinyArm.limitKV(&$0)
            $0.recording.offload = .none
        },
        RecordPath("preemption by swapping") {
            TinyArm.limitKV(&$0)
            $0.serving.preemption = .swap
        },
        RecordPath("a prefix cache") {
            TinyArm.cachePrefixes(&$0)
        },
        RecordPath("a prefix cache, what has no record prefilled again") {
            TinyArm.cachePrefixes(&$0)
            $0.recording.onPrefixHit = .reprefill
        },
        RecordPath("a prefix cache across versions, shared records, a step for each sample, small chunks") {
            TinyArm.cachePrefixes(&$0, acrossVersions: true)
            $0.serving.tokenBudget = 24
            $0.training.updateEvery = 1
            $0.recording.scope = .all
        },
        RecordPath("a prefix cache across versions, what has no record prefilled again, hedged, full tuning") {
            TinyArm.cachePrefixes(&$0, acrossVersions: true)
            $0.training.tuning = .full
            $0.training.learningRate = 1e-3
            $0.recording.offload = .hedged
            $0.recording.onPrefixHit = .reprefill
        },
        RecordPath("a prefix cache across versions, with preemption") {
            TinyArm.cachePrefixes(&$0, acrossVersions: true)
            TinyArm.limitKV(&$0)
        },
        RecordPath("hedged offload") { $0.recording.offload = .hedged },
        RecordPath("hedged offload, chunk by chunk, over a slow link") {
            $0.recording.offload = .hedged
            $0.recording.granule = .chunk
            $0.device.linkBandwidth = 3e7
        },
        RecordPath("headroom of the whole device, request by request") {
            $0.recording.offload = .headroom
            $0.recording.headroom = .share(1)
        },
        RecordPath("whole requests") { $0.recording.granule = .request },
        RecordPath("decoded tokens, too") { $0.recording.scope = .all },
        RecordPath("decoded tokens, hedged, loss on all") {
            $0.recording.scope = .all
            $0.recording.offload = .hedged
            $0.training.lossTokens = .all
            $0.serving.kvBlockTokens = 5
        },
        RecordPath("some requests") { $0.recording.selection = .fraction(0.6) },
        RecordPath("preemption by swapping, decoded tokens with other plans") {
            $0.recording.scope = .all
            $0.recording.plan = LayerPlans(layers: [.boundary, .lean])
            $0.recording.offload = .none
            $0.serving.preemption = .swap
            TinyArm.limitKV(&$0)
        },
        RecordPath("a prefix cache across versions, decoded tokens, hedged, with preemption") {
            $0.recording.scope = .all
            $0.recording.offload = .hedged
            TinyArm.cachePrefixes(&$0, acrossVersions: true)
            TinyArm.limitKV(&$0)
        },
        RecordPath("bf16") { $0.recording.precision = .bf16 },
        RecordPath("int8, loss on all tokens, small chunks, small quanta") {
            $0.recording.precision = .int8
            $0.training.lossTokens = .all
            $0.serving.tokenBudget = 9
            $0.training.quantumMax = SimDuration(nanoseconds: 60_000)
        },
        RecordPath("int8 kept on the device, full tuning") {
            $0.recording.precision = .int8
            $0.recording.offload = .none
            $0.training.tuning = .full
            $0.training.learningRate = 1e-3
        },
        RecordPath("bf16, hedged over a slow link, decoded tokens, other plans in other layers, full tuning") {
            $0.recording.precision = .bf16
            $0.recording.scope = .all
            $0.recording.offload = .hedged
            $0.recording.plan = LayerPlans(layers: [.boundary, .lean])
            $0.device.linkBandwidth = 3e7
            $0.training.tuning = .full
            $0.training.learningRate = 1e-3
        },
        RecordPath("int8, decoded tokens, full checkpointing, no prefetch, whole requests") {
            $0.recording.precision = .int8
            $0.recording.scope = .all
            $0.recording.granule = .request
            $0.training.checkpointing = .full
            $0.recording.prefetchLayers = 0
        },
        RecordPath("preemption by swapping, bf16") {
            TinyArm.limitKV(&$0)
            $0.serving.preemption = .swap
            $0.recording.precision = .bf16
        },
        RecordPath("a prefix cache across versions, shared records, int8, small chunks") {
            TinyArm.cachePrefixes(&$0, acrossVersions: true)
            $0.serving.tokenBudget = 24
            $0.training.updateEvery = 1
            $0.recording.scope = .all
            $0.recording.precision = .int8
        },
        RecordPath("few targets") { $0.training.tuning = .lora(rank: 4, alpha: 4, targets: [.query, .value]) },
    ]
}
