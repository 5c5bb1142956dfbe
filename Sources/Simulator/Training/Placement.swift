/// Where the trainer computes.
public enum Placement: String, Sendable, CaseIterable {
    /// On the server's device: one compute stream, one memory.
    case colocated
    /// On a device of its own, joined to the server's by a link that new weights are published over. It recomputes:
    /// records stay where serving made them.
    case separate
}

/// Who gets a shared compute stream when both could use it.
public enum Sharing: String, Sendable, CaseIterable {
    /// The server. The trainer gets the gaps in which there is nothing to serve.
    case idle
    /// The server, but for the slack that its objectives leave: the trainer runs a quantum whenever every running and
    /// waiting request is still predicted to keep its objective afterwards.
    case slo
    /// Both: while the trainer has work, it gets at least a fixed share of the stream's time.
    case share
}
