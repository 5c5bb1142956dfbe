import Simulator

extension Accelerator {
    /// An accelerator whose constants are round.
    static let sample = Accelerator(
        name: "sample",
        figures: Figures(
            multiprocessors: 10, flopsPerSecond: 1e13, flopsPerSecond8: 2e13, memory: Bytes(1 << 34),
            bytesPerSecond: 1e12, cache: Bytes(1 << 20), cacheBytesPerSecond: 5e12, hostMemory: Bytes(1 << 36),
            hostLink: 2e10, interconnect: 1e11),
        sources: [:],
        constants: AcceleratorConstants(
            products: AcceleratorConstants.Products(
                launch: 4e-6,
                tiles: [
                    AcceleratorConstants.Tile(rows: 128, columns: 128, efficiency: 0.8),
                    AcceleratorConstants.Tile(rows: 32, columns: 64, efficiency: 0.5),
                ], prologue: 64, lastWave: 0.5, slowdown: 0.1, onset: 1e-4, bandwidth: 0.9, sharpness: 2),
            passes: [
                .norm: AcceleratorConstants.Pass(launch: 2e-6, perValue: 1e-10, bandwidth: 0.4, cachedBandwidth: 0.5)
            ],
            otherPasses: AcceleratorConstants.Pass(launch: 3e-6, perValue: 0, bandwidth: 0.7, cachedBandwidth: 2),
            attention: AcceleratorConstants.Attention(
                launch: 5e-6, forward: 0.6, backward: 0.4, decode: 0.8, tile: 64),
            allReduce: AcceleratorConstants.AllReduce(launch: 2e-5, latency: 1e-6, bandwidth: 0.5),
            host: AcceleratorConstants.Host(iteration: 1e-3, sequence: 1e-5, unit: 2e-5), origin: "round"))
}
