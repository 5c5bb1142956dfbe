/// What some hardware can do at most. A price that would need more is a bug of the pricing or of the profile.
public struct PhysicalLimits: Sendable, Equatable {
    /// Floating-point operations per second.
    public var flopsPerSecond: Double
    /// Bytes per second to and from memory.
    public var bytesPerSecond: Double
    /// Bytes per second to and from the last cache.
    public var cacheBytesPerSecond: Double
    /// Size of the last cache.
    public var cacheBytes: Double

    public init(
        flopsPerSecond: Double, bytesPerSecond: Double, cacheBytesPerSecond: Double, cacheBytes: Double
    ) {
        self.flopsPerSecond = flopsPerSecond
        self.bytesPerSecond = bytesPerSecond
        self.cacheBytesPerSecond = cacheBytesPerSecond
        self.cacheBytes = cacheBytes
    }

    /// Rates times `factor`.
    func scaled(by factor: Double) -> PhysicalLimits {
        PhysicalLimits(
            flopsPerSecond: flopsPerSecond * factor, bytesPerSecond: bytesPerSecond * factor,
            cacheBytesPerSecond: cacheBytesPerSecond * factor, cacheBytes: cacheBytes)
    }

    /// The least time that moving `bytes` takes: what the cache can hold at its speed, the rest at memory's.
    public func floor(bytes: Double) -> Double {
        min(bytes, cacheBytes) / cacheBytesPerSecond + max(0, bytes - cacheBytes) / bytesPerSecond
    }

    /// The least time that an operator takes, all of its executions together.
    public func floor(of op: Operator) -> Double {
        Double(op.count) * max(op.flops / flopsPerSecond, floor(bytes: op.bytes))
    }
}
