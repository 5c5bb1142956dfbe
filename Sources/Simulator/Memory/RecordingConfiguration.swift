/// What serving records for the trainer, and where the records live.
public struct RecordingConfiguration: Sendable, Equatable {
    public enum Scope: String, Sendable, CaseIterable {
        case none
        /// Prompt tokens, as their prefill computes them.
        case prefill
    }
    public enum Offload: String, Sendable, CaseIterable {
        /// Records stay on the device until they are trained on.
        case none
        /// Every piece is copied to the host as soon as it exists, and its device copy freed when the copy is done.
        case eager
    }

    public var scope = Scope.none
    public var offload = Offload.eager
    /// What is kept of each recorded token, layer by layer.
    public var plan = LayerPlans(.full)
    /// How long after a request's end its record waits for feedback before it is thrown away.
    public var keepFor = SimDuration.milliseconds(30_000)
    /// Layers of records that may be on the device ahead of the backward pass.
    public var prefetchLayers = 1

    public init() {}
}
