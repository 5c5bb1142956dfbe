/// Splits a micro-batch's work into units that are each predicted to fit the quantum.
public struct UnitPlanner: Sendable {
    /// Rows below which splitting only adds overhead.
    public static let fewestRows = 16

    public var layers: Int
    public var trainedParameters: Int
    public var quantumMax: SimDuration

    public init(layers: Int, trainedParameters: Int, quantumMax: SimDuration) {
        self.layers = layers
        self.trainedParameters = trainedParameters
        self.quantumMax = quantumMax
    }

    /// Units of one micro-batch, from the first layer's forward pass, the reference model's before it, to its backward
    /// pass, and the most rows that any layer's
    /// unit has.
    public func units(
        for microBatch: MicroBatch, plans: SavePlans = SavePlans(), estimate: (TrainerUnit) -> SimDuration
    ) -> (units: [TrainerUnit], unitRows: Int) {
        var units: [TrainerUnit] = []
        // The first layer embeds besides, and the last one has its own way with loss rows: all layers are split as the
        // dearest one asks for.
        let kinds = Set([0, layers / 2, layers - 1])
        func longest(_ unit: (Int) -> TrainerUnit) -> SimDuration { kinds.map { estimate(unit($0)) }.max() ?? .zero }
        let forward = ranges(of: microBatch.freshRows) { rows in longest { .forward(layer: $0, rows: rows) } }
        let loss = ranges(of: microBatch.lossRows) { estimate(.loss(rows: $0)) }
        let backward = ranges(of: microBatch.rows) { rows in longest { .backward(layer: $0, rows: rows) } }
        let again = (0..<layers).map { layer in
            plans.needsRecompute(layer: layer, in: microBatch)
                ? ranges(of: microBatch.rows) { estimate(.recompute(layer: layer, rows: $0)) } : []
        }
        let reference =
            microBatch.needsReference
            ? ranges(of: microBatch.rows) { rows in longest { .reference(layer: $0, rows: rows) } } : []
        if microBatch.needsReference {
            for layer in 0..<layers { units += reference.map { .reference(layer: layer, rows: $0) } }
            units += loss.map { .score(rows: $0, ofReference: true) }
        }
        for layer in 0..<layers { units += forward.map { .forward(layer: layer, rows: $0) } }
        if microBatch.needsReference { units += loss.map { .score(rows: $0, ofReference: false) } }
        units += loss.map { .loss(rows: $0) }
        for layer in (0..<layers).reversed() {
            units += again[layer].map { .recompute(layer: layer, rows: $0) }
            units += backward.reversed().map { .backward(layer: layer, rows: $0) }
        }
        return (units, (again + [reference, forward, backward]).map { $0.first?.count ?? 0 }.max() ?? 0)
    }

    /// Units that end a step: norm and optimizer.
    public func closingUnits(estimate: (TrainerUnit) -> SimDuration) -> [TrainerUnit] {
        [.gradientNorm]
            + ranges(of: trainedParameters) { estimate(.optimizer(parameters: $0)) }.map { .optimizer(parameters: $0) }
    }

    /// Equal ranges of `count` items, as few as keep each predicted to fit. The largest range comes first.
    ///
    /// Splitting the whole's time evenly is only the beginning: fixed costs and the longer contexts of later rows ask
    /// for more parts, unless fixed costs alone exceed the quantum.
    private func ranges(of count: Int, estimate: (Range<Int>) -> SimDuration) -> [Range<Int>] {
        guard count > 0 else { return [] }
        var parts = 1
        var longest = estimate(0..<count)
        while true {
            // Each part keeps its fixed costs, so this many are too few or just enough.
            let excess = Double(longest.nanoseconds) / Double(quantumMax.nanoseconds)
            parts = max(parts, Int((Double(parts) * excess).rounded(.up)))
            let size = min(count, max(Self.fewestRows, (count + parts - 1) / parts))
            let ranges = stride(from: 0, to: count, by: size).map { $0..<min(count, $0 + size) }
            // The whole is estimated already.
            if ranges.count > 1 { longest = ranges.map(estimate).max() ?? .zero }
            if longest <= quantumMax || size <= Self.fewestRows { return ranges }
            if estimate(0..<min(count, Self.fewestRows)) > quantumMax { return ranges }
        }
    }
}
