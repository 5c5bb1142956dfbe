extension Footprint {
    /// Whether pieces are stored in fewer bits than backward reads.
    public var narrowsActivations: Bool { plans.precision.narrows(width: widths.activations) }
    /// Whether K and V are rounded when they leave the device. In KV blocks, which serving reads, they are not.
    public var narrowsKV: Bool { plans.copiesKV && plans.precision.narrows(width: widths.kv) }

    /// What a record keeps of `rows` tokens in one layer, besides K and V: see `activations`. Each row of each tensor is
    /// rounded by itself; log-sum-exps are not.
    public func recordedActivations(_ plan: SavePlan, rows: Int, queryRows: Int) -> Bytes {
        func row(_ columns: Int) -> Int { plans.precision.rowBytes(columns: columns, width: widths.activations) }
        let attention = plan.savesAttention ? 2 * row(model.queryWidth) + row(model.hidden) : 0
        let gate = plan.savesGate ? 2 * row(model.intermediate) : 0
        return Bytes(rows * row(model.hidden) + queryRows * (attention + gate + plan.logSums(of: model) * 4))
    }

    /// K and V of one token in one layer, copied out of its KV block.
    public var kvCopyPerTokenPerLayer: Bytes {
        Bytes(2 * plans.precision.rowBytes(columns: model.kvWidth, width: widths.kv))
    }

    /// The final norm's input of one token in a record.
    public var recordedFinalPerToken: Bytes {
        Bytes(plans.precision.rowBytes(columns: model.hidden, width: widths.activations))
    }

    /// What a record takes: in the last layer no more than the input of tokens whose output nobody wants.
    public var recordSizes: RecordSizes {
        let layers = (0..<model.layers).map { layer in
            let input = recordedActivations(plans.recorded[layer], rows: 1, queryRows: 0)
            let rest = recordedActivations(plans.recorded[layer], rows: 0, queryRows: 1)
            return layer < model.layers - 1
                ? RecordSizes.Layer(perToken: input + rest) : RecordSizes.Layer(perToken: input, perFinalRow: rest)
        }
        return RecordSizes(
            activations: layers, kvPerToken: kvCopyPerTokenPerLayer, finalPerToken: recordedFinalPerToken,
            cachedKVPerToken: kvPerTokenPerLayer)
    }

    /// Records of `microBatch` made floats again, as far as that lives at a time: the activations of one unit's rows in one
    /// layer, K and V of all recorded rows in that layer, and the final norm's inputs of those that carry loss. Nothing
    /// where records are kept as they were computed.
    public func widened(in microBatch: MicroBatch, unitRows: Int) -> Bytes {
        guard microBatch.freshRows < microBatch.rows else { return .zero }
        let rows = microBatch.rows - microBatch.freshRows
        var bytes = narrowsKV ? kvPerTokenPerLayer * rows : .zero
        guard narrowsActivations else { return bytes }
        let part = min(rows, unitRows)
        bytes += (0..<model.layers).map { activations(plans.recorded[$0], rows: part, queryRows: part) }.max() ?? .zero
        return bytes + finalPerToken * (microBatch.lossRows - microBatch.freshLossRows)
    }
}
