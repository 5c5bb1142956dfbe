/// Everything that decides how one arm of a run behaves, apart from the trace and the model.
public struct ArmConfiguration: Sendable, Equatable {
    public var seed: UInt64
    public var device: DeviceConfiguration
    public var serving: ServingConfiguration
    public var recording: RecordingConfiguration
    public var training: TrainingConfiguration
    public var feedback: FeedbackConfiguration

    /// Whether server and trainer have a device each.
    public var hasTrainerDevice: Bool { training.enabled && training.placement == .separate }

    public init(
        seed: UInt64 = 0, device: DeviceConfiguration = .init(), serving: ServingConfiguration = .init(),
        recording: RecordingConfiguration = .init(), training: TrainingConfiguration = .init(),
        feedback: FeedbackConfiguration = .init()
    ) {
        self.seed = seed
        self.device = device
        self.serving = serving
        self.recording = recording
        self.training = training
        self.feedback = feedback
    }
}

extension SavePlans {
    /// What an arm keeps.
    public init(_ arm: ArmConfiguration) {
        self.init(
            checkpointing: arm.training.checkpointing, recorded: arm.recording.plan, precision: arm.recording.precision,
            copiesKV: arm.recording.offload != .none)
    }
}
