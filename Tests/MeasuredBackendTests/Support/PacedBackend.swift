import MeasuredBackend
import Simulator

/// Does the work for real, and says that it took what a made-up machine takes: which way records go is then the same on
/// every machine, however busy it is, while every number is computed.
typealias PacedBackend = RetoldBackend<MeasuredBackend, ModelledBackend<MeasuredDemand>>

extension PacedBackend {
    convenience init(_ work: MeasuredBackend, demand: MeasuredDemand) {
        self.init(work, told: ModelledBackend(hardware: .machine(.paced), demand: demand))
    }
}

extension HardwareProfile {
    /// A small model's operators at round rates: 40 GFLOP/s, 1 ns for each element of a pass.
    static let paced: HardwareProfile = {
        func surface(_ axes: [[Int]], _ secondsPerUnit: Double) -> CostSurface {
            var units = [1.0]
            for axis in axes { units = units.flatMap { unit in axis.map { unit * Double($0) } } }
            return CostSurface(
                axes: axes, seconds: units.map { 1e-6 + $0 * secondsPerUnit }, spread: units.map { _ in 0 })
        }
        let products = surface([[1, 512], [8, 512], [8, 512]], 2 / 40e9)
        let attention = surface([[1, 128], [1, 512]], 5e-9)
        let passes = Operator.Role.allCases.filter(\.isPass).map { ($0, surface([[64, 65536]], 1e-9)) }
        return HardwareProfile(
            origin: Origin(cpu: "made up", kernel: "none", threads: 2, date: "2025-01-02T03:04:05Z", model: "nano"),
            probe: 1e-4,
            limits: PhysicalLimits(
                flopsPerSecond: 1e12, bytesPerSecond: 1e12, cacheBytesPerSecond: 1e13, cacheBytes: 1e6),
            products: [.forward: products, .inputGradient: products, .weightGradient: products],
            heads: Heads(queryWidth: 64, kvWidth: 32), attention: attention, attentionBackward: attention,
            decodeAttention: attention, passes: Dictionary(uniqueKeysWithValues: passes), corrections: [:])
    }()
}
