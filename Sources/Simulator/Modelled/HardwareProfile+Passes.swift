/// A machine that others share is in another state a minute later: how much of its last cache is left, and how fast its
/// memory reads. One pass of calibration sees one of these states.
extension HardwareProfile {
    /// Several calibrations of one machine as one: each point the median of the passes.
    ///
    /// A point's spread is the largest of the passes', or half the distance between the shortest and the longest of its
    /// times over the median, if that is more.
    ///
    /// - Parameter passes: of the same sizes, told at the same speed (`probe`); the origin is the first one's.
    /// - Precondition: one pass at least, and the same nodes in all.
    public static func median(of passes: [HardwareProfile]) -> HardwareProfile {
        precondition(!passes.isEmpty, "at least one pass")
        guard passes.count > 1 else { return passes[0] }
        var result = passes[0]
        func surface(_ part: (HardwareProfile) -> CostSurface) -> CostSurface { .median(of: passes.map(part)) }
        result.attention = surface(\.attention)
        result.attentionBackward = surface(\.attentionBackward)
        result.decodeAttention = surface(\.decodeAttention)
        for orientation in result.products.keys {
            result.products[orientation] = .median(of: passes.compactMap { $0.products[orientation] })
        }
        for role in result.passes.keys { result.passes[role] = .median(of: passes.compactMap { $0.passes[role] }) }
        // What was reached once can be reached: a floor is one of all passes.
        var reached = result.reachedLimits
        for limits in passes.map(\.reachedLimits) {
            reached.flopsPerSecond = max(reached.flopsPerSecond, limits.flopsPerSecond)
            reached.bytesPerSecond = max(reached.bytesPerSecond, limits.bytesPerSecond)
            reached.cacheBytesPerSecond = max(reached.cacheBytesPerSecond, limits.cacheBytesPerSecond)
        }
        result.corrections = [:]
        result.limits = reached
        result.setCorrections(
            passes[0].corrections.keys.reduce(into: [:]) { corrections, phase in
                corrections[phase] = .median(of: passes.compactMap { $0.corrections[phase] })
            })
        return result
    }
}

extension CostSurface {
    /// Each point's median over surfaces of the same nodes.
    fileprivate static func median(of surfaces: [CostSurface]) -> CostSurface {
        precondition(surfaces.allSatisfy { $0.axes == surfaces[0].axes }, "passes measure the same nodes")
        var seconds: [Double] = []
        var spread: [Double] = []
        for point in surfaces[0].seconds.indices {
            let times = surfaces.map { $0.seconds[point] }.sorted()
            let middle = Simulator.median(of: times)
            let between = (times[times.count - 1] - times[0]) / 2 / middle
            let within = surfaces.reduce(0) { max($0, $1.spread[point]) }
            seconds.append(middle)
            spread.append((max(between, within) * 1e4).rounded() / 1e4)
        }
        return CostSurface(axes: surfaces[0].axes, seconds: seconds, spread: spread)
    }
}

extension HardwareProfile.Correction {
    /// Each scale's median, and that of overheads.
    fileprivate static func median(of corrections: [Self]) -> Self {
        let first = corrections[0]
        precondition(
            corrections.allSatisfy { $0.rows == first.rows && $0.contexts == first.contexts },
            "passes measure the same rows and contexts")
        return Self(
            rows: first.rows, contexts: first.contexts,
            scales: first.scales.indices.map { at in Simulator.median(of: corrections.map { $0.scales[at] }) },
            firstScales: first.firstScales.map { own in
                own.indices.map { at in Simulator.median(of: corrections.compactMap { $0.firstScales?[at] }) }
            },
            overhead: Simulator.median(of: corrections.map(\.overhead)))
    }
}

/// - Precondition: `values` is not empty.
private func median(of values: [Double]) -> Double {
    let sorted = values.sorted()
    let middle = sorted.count / 2
    return sorted.count.isMultiple(of: 2) ? (sorted[middle - 1] + sorted[middle]) / 2 : sorted[middle]
}
