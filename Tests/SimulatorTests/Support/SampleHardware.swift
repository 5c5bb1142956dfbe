import Simulator

extension HardwareProfile {
    /// Hardware whose products run at a share of its peak that grows with their rows, and whose passes are bound by
    /// memory: every price keeps the limits.
    static let sample: HardwareProfile = {
        let limits = PhysicalLimits(
            flopsPerSecond: 1e11, bytesPerSecond: 2e10, cacheBytesPerSecond: 1e11, cacheBytes: 1e6)
        func surface(_ axes: [[Int]], _ seconds: ([Double]) -> Double) -> CostSurface {
            var values: [Double] = []
            let sizes = axes.map(\.count)
            for index in 0..<sizes.reduce(1, *) {
                var rest = index
                var point: [Double] = []
                for (axis, size) in zip(axes, sizes).reversed() {
                    point.insert(Double(axis[rest % size]), at: 0)
                    rest /= size
                }
                values.append(seconds(point))
            }
            return CostSurface(axes: axes, seconds: values, spread: values.map { _ in 0 })
        }
        func product(_ point: [Double]) -> Double {
            let flops = 2 * point[0] * point[1] * point[2]
            let bytes = 4 * (point[0] * point[1] + point[1] * point[2] + point[0] * point[2])
            return 2e-6 + flops / 8e10 * (1 + 4 / point[0]) + bytes / 2e10
        }
        let products = surface([[1, 4, 16, 64, 256], [1, 8, 64, 512], [1, 8, 64, 512]], product)
        let attention = surface([[1, 2, 16, 128], [1, 16, 128, 512]]) { 3e-6 + $0[0] * 1e-8 + $0[0] * $0[1] * 8e-9 }
        let passes = Operator.Role.allCases.filter(\.isPass).map { role in
            (role, surface([[16, 256, 4096, 65536]]) { 1e-6 + $0[0] * 4e-9 })
        }
        return HardwareProfile(
            origin: Origin(cpu: "sample", kernel: "none", threads: 2, date: "2025-01-02T03:04:05Z", model: "tiny"),
            probe: 1e-4, limits: limits,
            products: [.forward: products, .inputGradient: products, .weightGradient: products],
            heads: Heads(queryWidth: 32, kvWidth: 16), attention: attention, attentionBackward: attention,
            decodeAttention: attention, passes: Dictionary(uniqueKeysWithValues: passes),
            corrections: [
                .decode: Correction(
                    rows: [1, 4, 9], contexts: [16, 128], scales: [1.1, 1.15, 1.3, 1.4, 1.2, 1.25],
                    firstScales: [1.15, 1.2, 1.35, 1.45, 1.3, 1.35], overhead: 2e-5),
                .prefill: Correction(scale: 1.2, overhead: 1e-5),
                .backward: Correction(rows: [2, 8], scales: [1.05, 1.1], overhead: 0),
            ])
    }()
}

/// What the sample model's work keeps in memory.
struct SampleDemand: MemoryDemand {
    var model = ModelShape.tiny
    var footprint = Footprint(model: .tiny, tuning: .lora(rank: 4, alpha: 8, targets: Projection.allCases))

    func servingWorkspace(tokens: Int) -> Bytes { Bytes(tokens * 4 * (model.qkvWidth + 3 * model.intermediate)) }
    func trainWorkspace(for microBatch: MicroBatch, unitRows: Int) -> Bytes {
        Bytes(4 * (microBatch.rows * model.hidden + unitRows * 3 * model.intermediate))
    }
}
