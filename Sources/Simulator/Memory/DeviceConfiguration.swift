/// The memory tiers and the host link of the simulated device.
public struct DeviceConfiguration: Sendable, Equatable {
    /// Capacity of device memory.
    public var memory = Bytes(4 << 30)
    /// Capacity of the host tier that offloaded records live in.
    public var hostMemory = Bytes(16 << 30)
    /// Bandwidth of the host link in each direction, bytes per second.
    public var linkBandwidth = 25e9
    /// Fixed cost of one transfer.
    public var linkLatency = SimDuration(nanoseconds: 10_000)

    /// Share of `memory` that may be used; the rest is the driver's and others'.
    public var memoryUtilization = 1.0

    /// What may be used of `memory`.
    public var usableMemory: Bytes {
        memoryUtilization == 1 ? memory : Bytes(Int(Double(memory.count) * memoryUtilization))
    }

    public init() {}
}
