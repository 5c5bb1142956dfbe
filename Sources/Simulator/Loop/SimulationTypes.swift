// Types of the simulation that do not depend on its backend. Nested in it they would be generic, and every event would look
// up their metadata.

/// What happens at a time.
enum SimulationEvent: Sendable {
    case computeDone(ComputeStream)
    /// A separate trainer's weights have reached the server.
    case published(Int)
    case copyDone(TransferDirection, started: SimTime)
    /// What the next transfer copies exists now.
    case copyReady
    case arrival(Int)
    case feedback(Int)
    /// The record of a request has waited long enough for feedback.
    case recordExpiry(Int)
}

/// A compute stream. A trainer without a device of its own computes on the server's.
enum ComputeStream: Int {
    case server, trainer
}

/// What a compute stream is working on.
enum ComputeWork: Sendable {
    case serving(ServingIteration, StepOutcome)
    case training(TrainerQuantum, StepOutcome)
}

/// What is recorded of a request that is not a sample yet.
struct OpenRequestRecord: Sendable {
    var parts: [RecordReference] = []
    /// The chunk that decoding adds to.
    var growing: ChunkID?
}
