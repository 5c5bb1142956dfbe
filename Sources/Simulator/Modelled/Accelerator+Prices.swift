internal import Foundation

extension Accelerator {
    /// Seconds of a product of a [rows, depth] and a [depth, columns] matrix that moves `bytes`, at `flops` per second.
    ///
    /// Each multiprocessor works on one tile at a time, so tiles go in waves; the shape of the tiles is the one that is
    /// done first.
    public func product(rows: Int, columns: Int, depth: Int, bytes: Double, flopsPerSecond flops: Double) -> Double {
        let costs = constants.products
        let processors = Double(figures.multiprocessors)
        let length = Double(depth) + costs.prologue
        var computing = Double.infinity
        for tile in costs.tiles {
            let count = ((rows + tile.rows - 1) / tile.rows) * ((columns + tile.columns - 1) / tile.columns)
            let waves = waves(of: Double(count) / processors, lastWave: costs.lastWave)
            let perWave = 2 * Double(tile.rows * tile.columns) * length * processors / (flops * tile.efficiency)
            computing = min(computing, waves * perWave)
        }
        computing *= 1 + costs.slowdown * computing / (computing + costs.onset)
        let reading = bytes / (figures.bytesPerSecond * costs.bandwidth)
        // The larger one is taken out of the root, so that its powers stay near one.
        let (long, short) = (max(computing, reading), min(computing, reading))
        return costs.launch + long * pow(1 + pow(short / long, costs.sharpness), 1 / costs.sharpness)
    }

    /// Whole waves and what the last one counts; at least one.
    private func waves(of share: Double, lastWave: Double) -> Double {
        let whole = share.rounded(.down)
        let rest = share - whole
        return max(1, rest > 0 ? whole + pow(rest, lastWave) : whole)
    }

    /// Seconds of a pass that moves `bytes` in `rows` of `width` values.
    public func pass(_ role: Operator.Role, bytes: Double, rows: Double, width: Int) -> Double {
        let costs = constants.passes[role] ?? constants.otherPasses
        let held = Double(figures.cache.count) / 2
        let bytes = bytes + rows * costs.bytesPerRow
        let moving =
            min(bytes, held) / (figures.bytesPerSecond * costs.cachedBandwidth)
            + max(0, bytes - held) / (figures.bytesPerSecond * costs.bandwidth)
        let row = Double(width) * costs.perValue
        return costs.launch + (row * row + moving * moving).squareRoot()
    }

    /// Seconds of attention of `queries` rows with `flops` operations, that moves `bytes`, at a share of the peak.
    func attention(queries: Int, flops: Double, bytes: Double, share: Double) -> Double {
        let costs = constants.attention
        // A tile that is not full takes as long as a full one.
        let tiles = (queries + costs.tile - 1) / costs.tile
        let padded = flops * Double(tiles * costs.tile) / Double(max(queries, 1))
        return costs.launch + max(padded / (figures.flopsPerSecond * share), bytes / figures.bytesPerSecond)
    }

    /// Seconds of single queries reading `bytes` of K and V, with `flops` operations.
    func decodeAttention(flops: Double, bytes: Double) -> Double {
        let costs = constants.attention
        return costs.launch
            + max(bytes / (figures.bytesPerSecond * costs.decode), flops / (figures.flopsPerSecond * costs.forward))
    }

    /// Seconds of summing `bytes` over `devices`, each of which then has the sum.
    public func allReduce(bytes: Double, devices: Int) -> Double {
        guard devices > 1 else { return 0 }
        let costs = constants.allReduce
        let steps = Double(devices - 1)
        let link = figures.interconnect ?? figures.hostLink
        return costs.launch + costs.latency * steps + 2 * steps / Double(devices) * bytes / (link * costs.bandwidth)
    }
}
