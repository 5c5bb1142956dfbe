/// What a byte of memory is for. Every reserved byte has exactly one owner.
public enum MemoryOwner: Int, Sendable, CaseIterable {
    /// The weights that serving reads, published adapters included; on a trainer's own device, its copy of them.
    case weights
    /// The buffer that the optimizer writes the next adapters into, or that a separate trainer's arrive in.
    case adapters
    case gradients
    case optimizer
    /// KV blocks that a request uses; on the host, those of requests that were swapped out.
    case kv
    /// KV kept only because a record still needs it.
    case recordedKV
    /// Full KV blocks that only the prefix cache holds: they give way to whoever needs the room.
    case cachedKV
    /// Pieces of records: on the device, where serving wrote them; on the host, offloaded.
    case recorded
    /// Room for pieces that come back from the host, reserved as long as a micro-batch is open.
    case staged
    /// Activations that the trainer's own forward pass saves.
    case trainActivations
    /// Gradients of activations and scratch of the trainer.
    case trainWorkspace
    /// Scratch of a serving iteration.
    case servingWorkspace
    /// In full tuning, the buffer that the optimizer writes the next weights into, or that a separate trainer's arrive
    /// in.
    case publishBuffer
    /// In full tuning on pairs, the weights that training started from: the reference model.
    case reference

    /// Whether it holds KV blocks.
    public var isKV: Bool { self == .kv || self == .recordedKV || self == .cachedKV }

    /// Whether a byte on a device that serves counts as training memory; on a trainer's own device, every byte does.
    public var isTraining: Bool {
        switch self {
        case .gradients, .optimizer, .adapters, .recorded, .recordedKV, .staged, .trainActivations,
            .trainWorkspace, .publishBuffer, .reference:
            true
        case .weights, .kv, .cachedKV, .servingWorkspace: false
        }
    }

    /// Whether it must be back at zero when a run has ended.
    public var isTransient: Bool {
        switch self {
        case .kv, .recordedKV, .cachedKV, .recorded, .staged, .trainActivations, .trainWorkspace: true
        case .weights, .adapters, .gradients, .optimizer, .servingWorkspace, .publishBuffer, .reference: false
        }
    }

    public var name: String {
        switch self {
        case .weights: "weights"
        case .adapters: "adapters"
        case .gradients: "gradients"
        case .optimizer: "optimizer"
        case .kv: "kv"
        case .recordedKV: "recorded_kv"
        case .cachedKV: "cached_kv"
        case .recorded: "recorded"
        case .staged: "staged"
        case .trainActivations: "train_activations"
        case .trainWorkspace: "train_workspace"
        case .servingWorkspace: "serving_workspace"
        case .publishBuffer: "publish_buffer"
        case .reference: "reference"
        }
    }
}

/// Where bytes live.
public enum MemoryTier: Int, Sendable, CaseIterable {
    /// The device that serves, and trains as well unless the trainer has its own.
    case device
    /// The host beside that device.
    case host
    /// The trainer's own device, where server and trainer are separate.
    case trainerDevice

    public var name: String {
        switch self {
        case .device: "device"
        case .host: "host"
        case .trainerDevice: "trainer_device"
        }
    }
}
