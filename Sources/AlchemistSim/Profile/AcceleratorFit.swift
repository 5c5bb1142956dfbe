internal import Foundation
public import Simulator

/// Fits an accelerator's constants to timings of its operators.
///
/// Each group of constants is fitted by itself: those of products, of each role of passes, and of the all-reduce. What is
/// minimised is the mean of |log(price / time)|, each at most one half, so that a few kernels that go astray do not decide.
/// Shares and times are fitted as logits and logarithms, which keeps them in their ranges.
public struct AcceleratorFit {
    private let samples: [OperatorTimings.Sample]
    private let figures: Accelerator.Figures
    private var accelerator: Accelerator

    /// - Parameter start: its figures stay; constants that no timing tells stay, too.
    public init(_ timings: [OperatorTimings], start: Accelerator) {
        samples = timings.flatMap(\.samples)
        figures = start.figures
        accelerator = start
    }

    public func run() -> Accelerator {
        var fitted = accelerator
        if samples.contains(where: { if case .product = $0.work { true } else { false } }) {
            fitted.constants.products = products()
        }
        var all: [OperatorTimings.Sample] = []
        for role in Operator.Role.allCases where role.isPass {
            let own = samples.filter { if case .pass = $0.work { $0.role == role } else { false } }
            guard !own.isEmpty else { continue }
            all += own
            fitted.constants.passes[role] = pass(role, own)
        }
        if !all.isEmpty { fitted.constants.otherPasses = pass(nil, all) }
        let collectives = samples.filter { if case .allReduce = $0.work { true } else { false } }
        if !collectives.isEmpty { fitted.constants.allReduce = allReduce(collectives) }
        return fitted
    }

    // MARK: Groups

    private func products() -> AcceleratorConstants.Products {
        let own = samples.filter { if case .product = $0.work { true } else { false } }
        let shapes = AcceleratorConstants.Tile.fitted
        let areas = Set(shapes.map { $0.rows * $0.columns }).sorted(by: >)
        func decoded(_ x: [Double]) -> AcceleratorConstants.Products {
            AcceleratorConstants.Products(
                launch: exp(x[0]),
                tiles: shapes.map { shape in
                    let area = areas.firstIndex(of: shape.rows * shape.columns) ?? 0
                    return AcceleratorConstants.Tile(
                        rows: shape.rows, columns: shape.columns, efficiency: share(x[7 + area]))
                }, prologue: exp(x[1]), lastWave: share(x[2]), slowdown: exp(x[3]), onset: exp(x[4]),
                bandwidth: share(x[5]), sharpness: 1 + exp(x[6]))
        }
        let general: [Double] = [log(4e-6), log(60.0), -1, log(0.15), log(2e-4), 2, log(1.5)]
        let start = general + areas.indices.map { 2 - 0.45 * Double($0) }
        return rounded(decoded(minimum(from: start, over: own) { $0.constants.products = decoded($1) }))
    }

    private func pass(_ role: Operator.Role?, _ own: [OperatorTimings.Sample]) -> AcceleratorConstants.Pass {
        // What a row costs besides its values shows only where rows have several widths.
        let widths = Set(own.map { if case .pass(_, let width, _) = $0.work { width } else { 0 } })
        let hasRows = role != nil && widths.count > 1
        func decoded(_ x: [Double]) -> AcceleratorConstants.Pass {
            AcceleratorConstants.Pass(
                launch: exp(x[0]), perValue: exp(x[1]), bytesPerRow: hasRows ? exp(x[4]) : 0,
                bandwidth: share(x[2]), cachedBandwidth: cacheShare * share(x[3]))
        }
        let start: [Double] = [log(2.5e-6), log(3e-10), 0, -1] + (hasRows ? [log(500.0)] : [])
        return rounded(
            decoded(
                minimum(from: start, over: own) { accelerator, x in
                    if let role {
                        accelerator.constants.passes[role] = decoded(x)
                    } else {
                        accelerator.constants.passes = [:]
                        accelerator.constants.otherPasses = decoded(x)
                    }
                }))
    }

    private func allReduce(_ own: [OperatorTimings.Sample]) -> AcceleratorConstants.AllReduce {
        func decoded(_ x: [Double]) -> AcceleratorConstants.AllReduce {
            AcceleratorConstants.AllReduce(launch: exp(x[0]), latency: exp(x[1]), bandwidth: share(x[2]))
        }
        return rounded(
            decoded(
                minimum(from: [log(2e-5) as Double, log(5e-6), 1], over: own) { $0.constants.allReduce = decoded($1) }))
    }

    /// What the cache's speed is over the memory's: no pass can be faster.
    private var cacheShare: Double { figures.cacheBytesPerSecond / figures.bytesPerSecond }

    private func minimum(
        from start: [Double], over own: [OperatorTimings.Sample], _ set: (inout Accelerator, [Double]) -> Void
    ) -> [Double] {
        func loss(_ x: [Double]) -> Double {
            var candidate = accelerator
            set(&candidate, x)
            return own.reduce(0) { $0 + min(abs(log(candidate.seconds(of: $1) / $1.seconds)), 0.5) } / Double(own.count)
        }
        // Started again where it ended, the simplex gets out of corners.
        let first = NelderMead(steps: 700).minimum(from: start, of: loss)
        return NelderMead(steps: 500).minimum(from: first, of: loss)
    }
}

private func share(_ x: Double) -> Double { 1 / (1 + exp(-x)) }

/// Four digits: more would be noise. So is what is below any time or share.
private func rounded(_ value: Double) -> Double {
    value < 1e-15 ? 0 : Double(String(format: "%.3e", value)) ?? value
}

private func rounded(_ costs: AcceleratorConstants.Products) -> AcceleratorConstants.Products {
    AcceleratorConstants.Products(
        launch: rounded(costs.launch),
        tiles: costs.tiles.map {
            AcceleratorConstants.Tile(rows: $0.rows, columns: $0.columns, efficiency: rounded($0.efficiency))
        }, prologue: rounded(costs.prologue), lastWave: rounded(costs.lastWave), slowdown: rounded(costs.slowdown),
        onset: rounded(costs.onset), bandwidth: rounded(costs.bandwidth), sharpness: rounded(costs.sharpness))
}

private func rounded(_ costs: AcceleratorConstants.Pass) -> AcceleratorConstants.Pass {
    AcceleratorConstants.Pass(
        launch: rounded(costs.launch), perValue: rounded(costs.perValue), bytesPerRow: rounded(costs.bytesPerRow),
        bandwidth: rounded(costs.bandwidth), cachedBandwidth: rounded(costs.cachedBandwidth))
}

private func rounded(_ costs: AcceleratorConstants.AllReduce) -> AcceleratorConstants.AllReduce {
    AcceleratorConstants.AllReduce(
        launch: rounded(costs.launch), latency: rounded(costs.latency), bandwidth: rounded(costs.bandwidth))
}

extension AcceleratorConstants.Tile {
    /// The shapes whose efficiencies are fitted, one for each area: those of common kernels for matrix units.
    fileprivate static let fitted: [(rows: Int, columns: Int)] = [
        (256, 128), (128, 256), (128, 128), (128, 64), (64, 128), (64, 64), (64, 32), (32, 64),
    ]
}

extension Accelerator {
    /// The price of a timed operator on its devices, in 16-bit values.
    public func seconds(of sample: OperatorTimings.Sample) -> Double {
        switch sample.work {
        case .product(let rows, let columns, let depth):
            product(
                rows: rows, columns: columns, depth: depth,
                bytes: 2 * Double(rows * depth + depth * columns + rows * columns),
                flopsPerSecond: figures.flopsPerSecond)
        case .pass(let values, let width, let moved):
            pass(sample.role, bytes: 2 * Double(values * moved), rows: Double(values / width), width: width)
        case .allReduce(let bytes): allReduce(bytes: bytes, devices: sample.devices)
        }
    }
}
