extension HardwareProfile {
    /// One execution of an operator of `model` by itself, in seconds. An operator that the profile has no figure for is
    /// priced at the hardware's limits.
    func seconds(of op: Operator, model: ModelShape) -> Double {
        switch op.kind {
        case .product(let orientation, let m, let n, let k):
            if let surface = products[orientation] { return surface.price(Double(m), Double(n), Double(k)) }
        case .attention(let queries, let pairs):
            return price(attention, queries, pairs, width: queryShare(of: model))
        case .attentionBackward(let queries, let pairs):
            return price(attentionBackward, queries, pairs, width: queryShare(of: model))
        case .decodeAttention(let sequences, let pairs):
            return price(
                decodeAttention, sequences, pairs, width: Double(model.kvWidth) / Double(heads.kvWidth))
        case .pass(let values):
            if let curve = passes[op.role] { return curve.price(Double(values)) }
        }
        return limits.floor(of: op) / Double(op.count)
    }

    private func queryShare(of model: ModelShape) -> Double { Double(model.queryWidth) / Double(heads.queryWidth) }

    /// - Parameter width: the model's heads over those that the surface was measured with.
    private func price(_ surface: CostSurface, _ queries: Int, _ pairs: Int, width: Double) -> Double {
        queries > 0 ? width * surface.price(Double(queries), Double(pairs) / Double(queries)) : 0
    }
}
