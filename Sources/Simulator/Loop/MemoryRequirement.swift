/// What an arm needs of both tiers at least, found before any work is done.
///
/// Beside the static owners the device must hold, at the same time, the KV of the largest request and the whole forward
/// pass of the largest possible micro-batch: then neither the server nor the trainer can get stuck for good. The host
/// must hold the record of the largest request if records are offloaded.
public struct MemoryRequirement: Sendable {
    /// What stays on the device for the whole run.
    public let fixed: [(owner: MemoryOwner, bytes: Bytes)]
    /// The KV blocks of the largest request.
    public let kv: Bytes
    /// Activations and scratch of the largest micro-batch; zero without training.
    public let microBatch: Bytes
    /// The least device memory: the sum of these.
    public var device: Bytes { fixed.reduce(Bytes.zero) { $0 + $1.bytes } + kv + microBatch }
    /// The least host memory.
    public let host: Bytes

    public init(configuration: ArmConfiguration, trace: Trace, demand: some MemoryDemand) {
        let footprint = demand.footprint
        let training = configuration.training.enabled
        var fixed: [(owner: MemoryOwner, bytes: Bytes)] = [
            (.weights, footprint.weights),
            (.servingWorkspace, demand.servingWorkspace(tokens: configuration.serving.tokenBudget)),
        ]
        if training {
            fixed += [
                (.adapters, footprint.adapters), (.gradients, footprint.gradients), (.optimizer, footprint.optimizer),
                (.publishBuffer, footprint.publishBuffer),
            ]
        }
        self.fixed = fixed
        let block = configuration.serving.kvBlockTokens
        let blocks = trace.requests.map { ($0.promptTokens + $0.outputTokens - 1 + block - 1) / block }.max() ?? 0
        kv = footprint.kvPerToken * (blocks * block)
        if training {
            let largest = Self.largestMicroBatch(of: trace, configuration.training)
            microBatch =
                footprint.trainActivations(freshRows: largest.rows)
                + demand.trainWorkspace(for: largest, unitRows: largest.rows)
        } else {
            microBatch = .zero
        }
        let offloads = configuration.recording.scope != .none && configuration.recording.offload != .none
        let decoded = configuration.recording.scope == .all
        let recorded = offloads ? trace.requests.map { $0.recordedTokens(decoded: decoded) }.max() ?? 0 : 0
        let sizes = footprint.recordSizes
        let allFinal = decoded || configuration.training.lossTokens == .all
        host =
            (sizes.activationsPerToken + sizes.kvPerToken) * (sizes.layers * recorded)
            + sizes.finalPerToken * (allFinal ? recorded : min(recorded, 1))
    }

    /// - Throws: `SimulationError.tooLittleMemory` when a tier is smaller than what is needed.
    public func check(_ device: DeviceConfiguration) throws(SimulationError) {
        if device.memory < self.device {
            throw .tooLittleMemory(
                tier: .device, needed: self.device, available: device.memory,
                purpose: purpose)
        }
        if device.hostMemory < host {
            throw .tooLittleMemory(
                tier: .host, needed: host, available: device.hostMemory,
                purpose: "the longest record (device.host_memory)")
        }
    }

    /// What needs the device's memory, part by part.
    private var purpose: String {
        var parts = fixed.filter { $0.bytes > .zero }.map { "\($0.owner.name) \($0.bytes)" }
        parts.append("kv of the largest request \(kv)")
        if microBatch > .zero { parts.append("largest micro-batch \(microBatch)") }
        return "this arm (device.memory: " + parts.joined(separator: ", ") + ")"
    }

    /// The largest micro-batch that any samples of the trace can form, wholly recomputed.
    private static func largestMicroBatch(of trace: Trace, _ training: TrainingConfiguration) -> MicroBatch {
        let sequences = trace.requests.indices.map { index in
            let request = trace.requests[index]
            var response = request.outputTokens
            if case .given(let feedback) = request.feedback, let tokens = feedback.tokens {
                response = max(response, tokens.count)
            }
            return TrainingSequencePlan(
                request: index, promptTokens: request.promptTokens, responseTokens: response, edited: false,
                lossTokens: 0..<request.promptTokens + response - 1, recorded: [])
        }
        var chosen: [TrainingSequencePlan] = []
        var tokens = 0
        for sequence in sequences.sorted(by: { $0.tokens > $1.tokens }) {
            guard chosen.isEmpty || tokens + sequence.tokens <= training.microBatchTokens else { continue }
            guard chosen.count < training.updateEvery else { break }
            chosen.append(sequence)
            tokens += sequence.tokens
        }
        return MicroBatch(id: -1, version: 0, sequences: chosen, stepLossTokens: max(tokens, 1))
    }
}

extension Request {
    /// Tokens that are recorded of it at most: its prompt, and its answer but for the last token, which is not fed back.
    fileprivate func recordedTokens(decoded: Bool) -> Int { promptTokens + (decoded ? outputTokens - 1 : 0) }
}
