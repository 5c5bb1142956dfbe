/// What an arm needs of both tiers at least, found before any work is done.
///
/// Beside the static owners the device must hold, at the same time, the KV of the largest request and the whole forward
/// pass of the largest possible micro-batch: then neither the server nor the trainer can get stuck for good. The host
/// must hold the record of the largest request if records are offloaded.
public struct MemoryRequirement: Sendable {
    /// What stays for the whole run.
    public let fixed: [(tier: MemoryTier, owner: MemoryOwner, bytes: Bytes)]
    /// The KV blocks of the largest request.
    public let kv: Bytes
    /// Activations and scratch of the largest micro-batch; zero without training.
    public let microBatch: Bytes
    /// Where the trainer's device is a separate one: the sum of what it must hold.
    public var trainerDevice: Bytes { hasTrainerDevice ? sum(on: .trainerDevice) + microBatch : .zero }
    /// The least memory of the serving device.
    public var device: Bytes { sum(on: .device) + kv + (hasTrainerDevice ? .zero : microBatch) }
    private let hasTrainerDevice: Bool
    /// The least host memory.
    public let host: Bytes

    public init(configuration: ArmConfiguration, trace: Trace, demand: some MemoryDemand) {
        let footprint = demand.footprint
        let training = configuration.training.enabled
        hasTrainerDevice = configuration.hasTrainerDevice
        var fixed: [(tier: MemoryTier, owner: MemoryOwner, bytes: Bytes)] = [
            (.device, .weights, footprint.weights),
            (.device, .servingWorkspace, demand.servingWorkspace(tokens: configuration.serving.tokenBudget)),
        ]
        if training {
            // A buffer for the next weights on either device: they leave from one and arrive in the other.
            fixed += [(.device, .adapters, footprint.adapters), (.device, .publishBuffer, footprint.publishBuffer)]
            let tier: MemoryTier
            if hasTrainerDevice {
                tier = .trainerDevice
                fixed += [
                    (tier, .weights, footprint.weights), (tier, .adapters, footprint.adapters),
                    (tier, .publishBuffer, footprint.publishBuffer),
                ]
            } else {
                tier = .device
            }
            fixed += [(tier, .gradients, footprint.gradients), (tier, .optimizer, footprint.optimizer)]
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
        for (tier, needed) in [(MemoryTier.device, self.device), (.trainerDevice, trainerDevice)]
        where device.memory < needed {
            throw .tooLittleMemory(tier: tier, needed: needed, available: device.memory, purpose: purpose(on: tier))
        }
        if device.hostMemory < host {
            throw .tooLittleMemory(
                tier: .host, needed: host, available: device.hostMemory,
                purpose: "the longest record (device.host_memory)")
        }
    }

    private func sum(on tier: MemoryTier) -> Bytes {
        fixed.reduce(Bytes.zero) { $0 + ($1.tier == tier ? $1.bytes : .zero) }
    }

    /// What needs a device's memory, part by part.
    private func purpose(on tier: MemoryTier) -> String {
        var parts = fixed.filter { $0.tier == tier && $0.bytes > .zero }.map { "\($0.owner.name) \($0.bytes)" }
        if tier == .device { parts.append("kv of the largest request \(kv)") }
        if microBatch > .zero, hasTrainerDevice == (tier == .trainerDevice) {
            parts.append("largest micro-batch \(microBatch)")
        }
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
