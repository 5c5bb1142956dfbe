/// What is fitted to timings of operators, or assumed with a source: shares of the datasheet's figures and latencies.
public struct AcceleratorConstants: Sendable, Equatable {
    /// A tile of the output that one multiprocessor works on at a time.
    public struct Tile: Sendable, Equatable {
        public var rows: Int
        public var columns: Int
        /// Share of the multiprocessor's peak that it reaches.
        public var efficiency: Double

        public init(rows: Int, columns: Int, efficiency: Double) {
            self.rows = rows
            self.columns = columns
            self.efficiency = efficiency
        }
    }

    /// A matrix product takes `launch + (c^s + b^s)^(1/s)`, with c the time of its tiles and b that of its bytes.
    public struct Products: Sendable, Equatable {
        /// Seconds that every kernel takes, however small.
        public var launch: Double
        /// Sizes that the kernel can take, of which it takes the fastest.
        public var tiles: [Tile]
        /// What filling and draining a tile's pipeline costs, as a length of the inner dimension.
        public var prologue: Double
        /// A last wave that fills the share f of the multiprocessors counts f to this power.
        public var lastWave: Double
        /// How much slower long kernels run, which heat and power limit: `1 + slowdown t / (t + onset)`.
        public var slowdown: Double
        /// Seconds.
        public var onset: Double
        /// Share of memory's bandwidth.
        public var bandwidth: Double
        /// s: how little computing and reading overlap costs each; no overlap at 1.
        public var sharpness: Double

        public init(
            launch: Double, tiles: [Tile], prologue: Double, lastWave: Double, slowdown: Double, onset: Double,
            bandwidth: Double, sharpness: Double
        ) {
            self.launch = launch
            self.tiles = tiles
            self.prologue = prologue
            self.lastWave = lastWave
            self.slowdown = slowdown
            self.onset = onset
            self.bandwidth = bandwidth
            self.sharpness = sharpness
        }
    }

    /// A pass over memory takes `launch + sqrt(r^2 + b^2)`, with r the time that one row takes its multiprocessor and b
    /// that of all bytes, each row counting some more than it has.
    public struct Pass: Sendable, Equatable {
        public var launch: Double
        /// Seconds per value of a row.
        public var perValue: Double
        /// Bytes that a row counts besides its own.
        public var bytesPerRow: Double
        /// Share of memory's bandwidth, for the bytes beyond half of the cache.
        public var bandwidth: Double
        /// The same for the bytes that half of the cache holds; above 1 where they are found there.
        public var cachedBandwidth: Double

        public init(
            launch: Double, perValue: Double, bytesPerRow: Double = 0, bandwidth: Double, cachedBandwidth: Double
        ) {
            self.launch = launch
            self.perValue = perValue
            self.bytesPerRow = bytesPerRow
            self.bandwidth = bandwidth
            self.cachedBandwidth = cachedBandwidth
        }
    }

    /// Attention takes `launch + max(c, b)`, with shares of peak and of bandwidth.
    public struct Attention: Sendable, Equatable {
        public var launch: Double
        public var forward: Double
        public var backward: Double
        /// Share of memory's bandwidth when single queries read their contexts.
        public var decode: Double
        /// Queries of a tile: fewer cost as many.
        public var tile: Int

        public init(launch: Double, forward: Double, backward: Double, decode: Double, tile: Int) {
            self.launch = launch
            self.forward = forward
            self.backward = backward
            self.decode = decode
            self.tile = tile
        }
    }

    /// An all-reduce of n bytes over d devices takes `latency (d - 1) + 2 (d - 1) / d n / (share of the interconnect)`: a
    /// ring (Patarasu and Yuan, 2009).
    public struct AllReduce: Sendable, Equatable {
        /// Seconds of the call itself, and of each step of the ring.
        public var launch: Double
        public var latency: Double
        public var bandwidth: Double

        public init(launch: Double, latency: Double, bandwidth: Double) {
            self.launch = launch
            self.latency = latency
            self.bandwidth = bandwidth
        }
    }

    /// What the host adds.
    public struct Host: Sendable, Equatable {
        /// Seconds of a serving iteration, and of each sequence in it: scheduling, preparing inputs, taking outputs.
        public var iteration: Double
        public var sequence: Double
        /// Seconds of a unit of training.
        public var unit: Double

        public init(iteration: Double, sequence: Double, unit: Double) {
            self.iteration = iteration
            self.sequence = sequence
            self.unit = unit
        }
    }

    public var products: Products
    /// By role; others are priced as `otherPasses`.
    public var passes: [Operator.Role: Pass]
    public var otherPasses: Pass
    public var attention: Attention
    public var allReduce: AllReduce
    public var host: Host
    /// Where they come from: what they were fitted to, with its errors, or whose they are.
    public var origin: String

    public init(
        products: Products, passes: [Operator.Role: Pass], otherPasses: Pass, attention: Attention,
        allReduce: AllReduce, host: Host, origin: String
    ) {
        self.products = products
        self.passes = passes
        self.otherPasses = otherPasses
        self.attention = attention
        self.allReduce = allReduce
        self.host = host
        self.origin = origin
    }
}
