/// A GPU as prices see it: what its datasheet says, and a few constants that tell how much of that kernels reach.
///
/// Times of operators come from formulas over sizes instead of surfaces: products by tiles and waves, attention by pairs
/// and bytes, passes by bytes, collectives by latency and bandwidth. `docs/hardware.md` tells each formula with its source.
public struct Accelerator: Sendable, Equatable {
    /// What the maker publishes.
    public struct Figures: Sendable, Equatable {
        /// Streaming multiprocessors.
        public var multiprocessors: Int
        /// Dense operations per second of the matrix units on 16-bit values, accumulated in 32 bits.
        public var flopsPerSecond: Double
        /// The same on 8-bit values; nil where 8-bit weights are multiplied as 16-bit ones.
        public var flopsPerSecond8: Double?
        public var memory: Bytes
        /// Bytes per second to and from memory.
        public var bytesPerSecond: Double
        /// Size of the last cache, and bytes per second to and from it.
        public var cache: Bytes
        public var cacheBytesPerSecond: Double
        /// The host's memory that one device may take.
        public var hostMemory: Bytes
        /// Bytes per second of the host link, each way.
        public var hostLink: Double
        /// Bytes per second to the other devices of one machine, each way; nil without such a link, when the host's is
        /// taken.
        public var interconnect: Double?

        public init(
            multiprocessors: Int, flopsPerSecond: Double, flopsPerSecond8: Double?, memory: Bytes,
            bytesPerSecond: Double, cache: Bytes, cacheBytesPerSecond: Double, hostMemory: Bytes,
            hostLink: Double, interconnect: Double?
        ) {
            self.multiprocessors = multiprocessors
            self.flopsPerSecond = flopsPerSecond
            self.flopsPerSecond8 = flopsPerSecond8
            self.memory = memory
            self.bytesPerSecond = bytesPerSecond
            self.cache = cache
            self.cacheBytesPerSecond = cacheBytesPerSecond
            self.hostMemory = hostMemory
            self.hostLink = hostLink
            self.interconnect = interconnect
        }
    }

    /// Name in the registry, or the path of the file.
    public var name: String
    public var figures: Figures
    /// Where each figure comes from, by its name in the file.
    public var sources: [String: String]
    public var constants: AcceleratorConstants

    public init(name: String, figures: Figures, sources: [String: String], constants: AcceleratorConstants) {
        self.name = name
        self.figures = figures
        self.sources = sources
        self.constants = constants
    }
}

/// How an accelerator is used.
public struct AcceleratorSetting: Sendable, Hashable {
    /// Devices that share every layer (Shoeybi et al., 1909.08053). Together they are the simulated device: its memory and
    /// bandwidths are their sums.
    public var tensorParallel = 1
    /// 16, or 8 for the matrices of the layers.
    public var weightBits = 16
    /// 16 or 8.
    public var kvBits = 16

    public init() {}

    public var widths: ValueWidths { .mixed(weightBits: weightBits, kvBits: kvBits) }
}

extension Accelerator {
    /// What the devices can do together at most.
    public func limits(_ setting: AcceleratorSetting) -> PhysicalLimits {
        let devices = Double(setting.tensorParallel)
        let flops = max(figures.flopsPerSecond, setting.weightBits == 8 ? figures.flopsPerSecond8 ?? 0 : 0)
        return PhysicalLimits(
            flopsPerSecond: devices * flops, bytesPerSecond: devices * figures.bytesPerSecond,
            cacheBytesPerSecond: devices * figures.cacheBytesPerSecond,
            cacheBytes: devices * Double(figures.cache.count))
    }
}
