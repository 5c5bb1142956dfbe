/// Measured seconds over a grid of one to three sizes, and the price of any size between and beyond its nodes.
///
/// Between nodes the price is multilinear in the sizes, so that a cost proportional to m n k is met exactly; beyond the
/// last node of an axis it grows in proportion, before the first it stays. Noise can make a larger product seem cheaper
/// than a smaller one: prices come from the mean of the largest value at or below a node and the smallest at or above it,
/// which grow along every axis. So prices never fall when a size grows.
public struct CostSurface: Sendable, Equatable {
    /// Nodes of each axis, ascending and positive; an axis that is not used has the one node 1.
    public let axes: [[Int]]
    /// Medians as measured, in seconds, the last axis running fastest.
    public let seconds: [Double]
    /// Half the distance between the quartiles of each point, over its median; over several passes as
    /// `HardwareProfile.median(of:)` says.
    public let spread: [Double]
    /// What prices are taken from.
    private let monotone: [Double]

    /// - Precondition: one to three axes of ascending, positive nodes, and a positive time for each point.
    public init(axes: [[Int]], seconds: [Double], spread: [Double]) {
        precondition((1...3).contains(axes.count) && axes.allSatisfy(Self.isAxis), "axes ascend from above zero")
        let count = axes.reduce(1) { $0 * $1.count }
        precondition(seconds.count == count && spread.count == count, "a time and a spread for each point")
        precondition(seconds.allSatisfy { $0 > 0 && $0.isFinite }, "times are positive")
        self.axes = axes
        self.seconds = seconds
        self.spread = spread
        monotone = Self.monotone(seconds, sizes: axes.map(\.count))
    }

    public static func == (a: CostSurface, b: CostSurface) -> Bool {
        a.axes == b.axes && a.seconds == b.seconds && a.spread == b.spread
    }

    /// Whether `nodes` can be an axis.
    public static func isAxis(_ nodes: [Int]) -> Bool {
        !nodes.isEmpty && nodes[0] > 0 && zip(nodes, nodes.dropFirst()).allSatisfy(<)
    }

    /// The price at a point, in seconds; sizes may be fractional, as mean contexts are.
    public func price(_ a: Double, _ b: Double = 1, _ c: Double = 1) -> Double {
        switch axes.count {
        case 1:
            let x = GridPlace(a, axes[0])
            return x.growth * x.between(monotone[x.low], monotone[x.high])
        case 2:
            let (x, y) = (GridPlace(a, axes[0]), GridPlace(b, axes[1]))
            return x.growth * y.growth * x.between(y, monotone, stride: axes[1].count)
        default:
            let (x, y, z) = (GridPlace(a, axes[0]), GridPlace(b, axes[1]), GridPlace(c, axes[2]))
            let stride = axes[1].count * axes[2].count
            return x.growth * y.growth * z.growth
                * x.between(
                    y.between(z, monotone, stride: axes[2].count, offset: x.low * stride),
                    y.between(z, monotone, stride: axes[2].count, offset: x.high * stride))
        }
    }

    /// The mean of the largest value at or below each point and the smallest at or above it.
    private static func monotone(_ values: [Double], sizes: [Int]) -> [Double] {
        var below = values
        var above = values
        var stride = 1
        for size in sizes.reversed() {
            for index in values.indices where index / stride % size > 0 {
                below[index] = max(below[index], below[index - stride])
            }
            for index in values.indices.reversed() where index / stride % size < size - 1 {
                above[index] = min(above[index], above[index + stride])
            }
            stride *= size
        }
        return zip(below, above).map { ($0 + $1) / 2 }
    }
}

/// Where a size lies among the nodes of an axis.
struct GridPlace {
    private(set) var low = 0
    private(set) var high = 0
    private var weight = 0.0
    /// The size over the last node, beyond that.
    private(set) var growth = 1.0

    init(_ size: Double, _ nodes: [Int]) {
        let last = nodes.count - 1
        if size >= Double(nodes[last]) {
            (low, high, growth) = (last, last, size / Double(nodes[last]))
            return
        }
        guard size > Double(nodes[0]) else { return }
        high = last
        while high - low > 1 {
            let middle = (low + high) / 2
            if Double(nodes[middle]) <= size { low = middle } else { high = middle }
        }
        weight = (size - Double(nodes[low])) / Double(nodes[high] - nodes[low])
    }

    func between(_ a: Double, _ b: Double) -> Double { a + weight * (b - a) }

    /// Between four of `values`, which `stride` of them lie on each node of this axis.
    func between(_ column: GridPlace, _ values: [Double], stride: Int, offset: Int = 0) -> Double {
        let (first, second) = (offset + low * stride, offset + high * stride)
        return between(
            column.between(values[first + column.low], values[first + column.high]),
            column.between(values[second + column.low], values[second + column.high]))
    }
}
