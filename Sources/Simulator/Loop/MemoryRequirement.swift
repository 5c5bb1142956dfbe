/// What an arm needs of both tiers at least, found before any work is done.
///
/// Beside the static owners the device must hold, at the same time, a KV block and the whole forward pass of the largest
/// sample, none of it recorded: then neither the server nor the trainer can get stuck for good. Larger micro-batches, and
/// records, are there as far as there is room for them. Requests whose KV takes more blocks than there are will be refused.
/// The host must hold the record of the largest request if records are offloaded.
public struct MemoryRequirement: Sendable {
    /// What stays for the whole run.
    public let fixed: [(tier: MemoryTier, owner: MemoryOwner, bytes: Bytes)]
    /// Most KV blocks that can exist at a time, by `ServingConfiguration.kvMemory`.
    public let kvBlocks: Int
    /// What KV blocks may take.
    private let kvLimit: Bytes
    /// One KV block.
    public let kvBlock: Bytes
    /// The KV blocks of the largest request.
    public let largestKV: Bytes
    /// Activations and scratch of the largest sample; zero without training.
    public let sample: Bytes
    /// Where the trainer's device is a separate one: the sum of what it must hold.
    public var trainerDevice: Bytes { hasTrainerDevice ? sum(on: .trainerDevice) + sample : .zero }
    /// The least memory of the serving device.
    public var device: Bytes { sum(on: .device) + kvBlock + sampleBesideServer }
    /// What is enough for the trainer and, at the same time, for the largest request.
    public var deviceForEveryRequest: Bytes { sum(on: .device) + largestKV + sampleBesideServer }
    private var sampleBesideServer: Bytes { hasTrainerDevice ? .zero : sample }
    private let hasTrainerDevice: Bool
    /// The least host memory.
    public let host: Bytes
    /// What of it is for activations of the trainer's own forward pass.
    private let hostActivations: Bytes

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
            fixed += [
                (tier, .gradients, footprint.gradients), (tier, .optimizer, footprint.optimizer),
                (tier, .reference, footprint.reference),
            ]
        }
        self.fixed = fixed
        let block = configuration.serving.kvBlockTokens
        let blocks = trace.requests.map { ($0.promptTokens + $0.outputTokens - 1 + block - 1) / block }.max() ?? 0
        kvBlock = footprint.kvPerToken * block
        largestKV = kvBlock * blocks
        let held = fixed.reduce(Bytes.zero) { $0 + ($1.tier == .device ? $1.bytes : .zero) }
        let left = configuration.device.usableMemory - held
        let limit =
            switch configuration.serving.kvMemory {
            case .auto: left
            case .bytes(let bytes): min(bytes, left)
            case .share(let share):
                min(
                    Bytes(Int(share * Double(configuration.device.memory.count))) - footprint.weights
                        - demand.servingWorkspace(tokens: configuration.serving.tokenBudget), left)
            }
        kvLimit = max(.zero, limit)
        kvBlocks = kvLimit.count / max(1, kvBlock.count)
        if training {
            let largest = Self.largestSample(of: trace, configuration)
            let activations = (0..<demand.model.layers).map {
                footprint.trainActivations(layer: $0, freshRows: largest.rows, freshLossRows: largest.lossRows)
            }
            let offload = configuration.training.offload(of: activations)
            hostActivations = offload?.hostBytes ?? .zero
            let kept: Bytes = offload?.windowBytes ?? activations.reduce(.zero, +)
            sample =
                kept + footprint.finalPerToken * largest.lossRows
                + demand.trainWorkspace(for: largest, unitRows: largest.rows)
        } else {
            sample = .zero
            hostActivations = .zero
        }
        let scope = configuration.recording.scope
        let isOffloaded = scope != .none && configuration.recording.offload != .none
        let record =
            trace.requests.lazy.map { request -> Bytes in
                guard isOffloaded else { return .zero }
                let decoded = scope == .all ? request.outputTokens - 1 : 0
                let tokens = request.promptTokens + decoded
                let finalRows = configuration.training.lossTokens == .all ? tokens : min(tokens, 1 + decoded)
                return footprint.recordSizes.hostBytes(tokens: tokens, finalRows: finalRows)
            }.max() ?? .zero
        host = record + hostActivations
    }

    /// - Throws: `SimulationError.tooLittleMemory` when a tier is smaller than what is needed, and
    ///   `tooLittleBlockMemory` when `serving.kv_memory` is.
    public func check(_ device: DeviceConfiguration) throws(SimulationError) {
        for (tier, needed) in [(MemoryTier.device, self.device), (.trainerDevice, trainerDevice)]
        where device.usableMemory < needed {
            throw .tooLittleMemory(
                tier: tier, needed: needed, available: device.usableMemory, purpose: purpose(on: tier))
        }
        if kvBlocks < 1 {
            throw .tooLittleBlockMemory(allowed: kvLimit, block: kvBlock)
        }
        if device.hostMemory < host {
            throw .tooLittleMemory(
                tier: .host, needed: host, available: device.hostMemory,
                purpose: hostActivations > .zero
                    ? "the trainer's activations of the largest sample (device.host_memory)"
                    : "the longest record (device.host_memory)")
        }
    }

    /// What a micro-batch may take at most, its records that lie on the device included: everything but what stays there for
    /// good and, beside a server, a KV block.
    public func microBatchRoom(on device: DeviceConfiguration) -> Bytes {
        device.usableMemory - (hasTrainerDevice ? sum(on: .trainerDevice) : sum(on: .device) + kvBlock)
    }

    private func sum(on tier: MemoryTier) -> Bytes {
        fixed.reduce(Bytes.zero) { $0 + ($1.tier == tier ? $1.bytes : .zero) }
    }

    /// What needs a device's memory, part by part.
    private func purpose(on tier: MemoryTier) -> String {
        var parts = fixed.filter { $0.tier == tier && $0.bytes > .zero }.map { "\($0.owner.name) \($0.bytes)" }
        if tier == .device { parts.append("one KV block \(kvBlock)") }
        if sample > .zero, hasTrainerDevice == (tier == .trainerDevice) {
            parts.append("largest sample \(sample)")
        }
        return "this arm (device.memory: " + parts.joined(separator: ", ") + ")"
    }

    /// A micro-batch of as many rows as the trace's largest sample has, wholly recomputed.
    private static func largestSample(of trace: Trace, _ configuration: ArmConfiguration) -> MicroBatch {
        let lengths = trace.requests.lazy.map { request in
            max(
                request.promptTokens + request.outputTokens - 1,
                configuration.feedback(on: request).flatMap { configuration.sample(of: request, -1, $0) }?.rows ?? 0)
        }
        let rows = lengths.max() ?? 0
        let sequences =
            rows > 0 ? [TrainingSequencePlan(request: -1, promptTokens: rows, lossTokens: 0..<rows, recorded: [])] : []
        return MicroBatch(
            id: -1, version: 0, sequences: sequences, objective: configuration.training.learnsPairs ? .dpo : .sft,
            stepLossTokens: max(rows, 1))
    }
}
