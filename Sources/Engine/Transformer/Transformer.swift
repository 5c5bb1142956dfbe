/// Some consecutive tokens of one sequence in a serving batch: a chunk of its prompt, or the token being decoded.
public struct ServingSlice {
    /// Token ids.
    public var tokens: [Int32]
    /// Position of the first.
    public var start: Int
    /// The sequence's K and V from position 0 to `start + tokens.count`; the slice writes its own rows.
    public var kv: [KVSpan]
    /// Where to leave the slice's activations; nil records nothing.
    public var record: SliceRecord?
    /// Whether to compute the logits of the last token.
    public var wantsLogits: Bool

    public init(
        tokens: [Int32], start: Int, kv: [KVSpan], record: SliceRecord? = nil, wantsLogits: Bool = false
    ) {
        self.tokens = tokens
        self.start = start
        self.kv = kv
        self.record = record
        self.wantsLogits = wantsLogits
    }
}

/// Blocks that receive what a slice computes.
public struct SliceRecord {
    /// One block per layer, each of exactly the slice's tokens; nil leaves a layer out.
    public var layers: [ActivationBlock?]
    /// Receives the final norm's input: of every token when it has as many rows, of the last token when it has one.
    public var final: FinalBlock?

    public init(layers: [ActivationBlock?], final: FinalBlock? = nil) {
        self.layers = layers
        self.final = final
    }
}

/// Serving's forward pass over a batch of slices: all tokens share the matrix products, attention is per slice.
///
/// One caller at a time. Scratch grows to the largest batch seen and is reused.
public final class Transformer {
    public let config: ModelConfig
    public let pool: ThreadPool
    let rotary: RotaryEmbedding
    private let layer: DecoderLayer
    private let scratch = Scratch()
    private let headScratch = Scratch()
    private let keyTable = RowTable()
    private let valueTable = RowTable()
    private var segments: [KVSegment] = []
    private var positions: [Int32] = []

    public init(_ config: ModelConfig, pool: ThreadPool) {
        precondition(config.problems.isEmpty, config.problems.joined(separator: "; "))
        self.config = config
        self.pool = pool
        rotary = RotaryEmbedding(
            headSize: config.headSize, theta: config.ropeTheta, scaling: config.ropeScaling,
            positions: config.maxContext)
        layer = DecoderLayer(config, rotary: rotary, pool: pool)
    }

    /// Bytes of scratch for a batch of `rows` tokens, `logits` of which want logits: two residual streams, the tensors
    /// of one layer, the layer's scratch, and the rows of logits; then attention's scratch for each thread. Tables of
    /// pointers and positions, some dozen bytes per row, are left out.
    public static func workspaceByteCount(
        _ config: ModelConfig, lora: LoRAConfig? = nil, rows: Int, logits: Int, threads: Int
    ) -> Int {
        let perRow =
            2 * config.hidden + ActivationBlock.floatsPerToken(config)
            + DecoderLayer.scratchFloatsPerRow(config, lora)
        let tiles = Attention.scratchFloats(config.attentionShape, threads: threads, backward: false)
        return (rows * perRow + logits * (config.hidden + config.vocabulary) + tiles) * MemoryLayout<Float>.stride
    }

    /// Bytes of scratch held now: what the largest batch so far needed.
    public var scratchByteCount: Int { scratch.byteCount + headScratch.byteCount + layer.scratchByteCount }

    /// Runs the batch; returns the greedy next token of each slice that wants logits, nil for the others.
    ///
    /// `logits`, when given, receives the rows of logits [slices that want them, vocabulary] in batch order.
    public func forward(
        _ batch: [ServingSlice], _ parameters: ModelParameters, logits: UnsafeMutableBufferPointer<Float>? = nil
    ) -> [Int32?] {
        let rows = batch.reduce(0) { $0 + $1.tokens.count }
        guard rows > 0 else { return batch.map { _ in nil } }
        precondition(parameters.weights.config == config, "these weights belong to another model")
        place(batch)
        let plan = streams(rows: rows)
        embed(batch, parameters.weights, into: plan.even)
        for index in 0..<config.layers {
            runLayer(index, batch, parameters, plan)
        }
        let result = config.layers.isMultiple(of: 2) ? plan.even : plan.odd
        recordFinal(batch, result)
        return head(batch, parameters.weights, result, logits)
    }

    /// Two residual streams used in turn, and one layer's tensors.
    private struct Streams {
        let even: Matrix
        let odd: Matrix
        let layer: UnsafeMutablePointer<Float>
    }

    private func streams(rows: Int) -> Streams {
        let h = config.hidden
        let base = scratch.reserve(rows * (2 * h + ActivationBlock.floatsPerToken(config)))
        return Streams(
            even: Matrix(base, rows: rows, columns: h), odd: Matrix(base + rows * h, rows: rows, columns: h),
            layer: base + 2 * rows * h)
    }

    private func place(_ batch: [ServingSlice]) {
        positions.removeAll(keepingCapacity: true)
        for slice in batch {
            let end = slice.start + slice.tokens.count
            let held = slice.kv.reduce(0) { $0 + $1.count }
            precondition(slice.start >= 0 && end <= config.maxContext, "positions beyond the model's context")
            precondition(held >= end, "K and V cover \(held) positions, the slice ends at \(end)")
            for position in slice.start..<end { positions.append(Int32(truncatingIfNeeded: position)) }
        }
    }

    private func embed(_ batch: [ServingSlice], _ weights: Weights, into stream: Matrix) {
        var row = 0
        for slice in batch {
            slice.tokens.withUnsafeBufferPointer {
                Embedding.forward(table: weights.embedding, tokens: $0, y: stream.base + row * config.hidden)
            }
            row += slice.tokens.count
        }
    }

    /// One layer. When the batch is one recorded slice its products go straight into the block; otherwise recorded rows
    /// are copied while they are still in cache.
    private func runLayer(
        _ index: Int, _ batch: [ServingSlice], _ parameters: ModelParameters, _ streams: Streams
    ) {
        let rows = streams.even.rows
        let input = index.isMultiple(of: 2) ? streams.even : streams.odd
        let output = index.isMultiple(of: 2) ? streams.odd : streams.even
        let only = batch.count == 1 ? batch[0].record?.layers[index] : nil
        let tensors: LayerRows
        if let only {
            precondition(only.rows == rows, "a record block must have the slice's rows")
            Rows.copy(input.asRows, to: only.x.asRows, count: rows, width: config.hidden, pool: pool)
            tensors = LayerRows(
                x: only.x, q: only.q, o: only.o, lse: only.lse, x2: only.x2, gateUp: only.gateUp, output: output)
        } else {
            tensors = scratchTensors(input, output, streams.layer)
        }
        segments.removeAll(keepingCapacity: true)
        var ranges: [Range<Int>] = []
        for slice in batch {
            let first = segments.count
            var start = 0
            for span in slice.kv {
                segments.append(span.block.segment(layer: index, row: span.row, start: start, count: span.count))
                start += span.count
            }
            ranges.append(first..<segments.count)
        }
        segments.withUnsafeBufferPointer { segments in
            positions.withUnsafeBufferPointer { positions in
                guard let positions = positions.baseAddress else { return }
                let placement = placement(batch, segments, ranges, positions)
                layer.forward(
                    tensors, placement, weights: parameters.weights.layer(index),
                    adapters: parameters.adapters?.layer(index))
            }
        }
        if only == nil { copyRecords(index, batch, tensors) }
    }

    private func scratchTensors(
        _ input: Matrix, _ output: Matrix, _ base: UnsafeMutablePointer<Float>
    ) -> LayerRows {
        let rows = input.rows
        var next = base
        func plane(_ columns: Int) -> Matrix {
            defer { next += rows * columns }
            return Matrix(next, rows: rows, columns: columns)
        }
        return LayerRows(
            x: input, q: plane(config.queryWidth), o: plane(config.queryWidth), lse: plane(config.heads),
            x2: plane(config.hidden), gateUp: plane(2 * config.intermediate), output: output)
    }

    /// Finds the K and V row of every token.
    private func placement(
        _ batch: [ServingSlice], _ segments: UnsafeBufferPointer<KVSegment>, _ ranges: [Range<Int>],
        _ positions: UnsafePointer<Int32>
    ) -> RowPlacement {
        var targets: [(segment: KVSegment, offset: Int)] = []
        targets.reserveCapacity(self.positions.count)
        var spans: [AttentionSpan] = []
        var row = 0
        for (slice, range) in zip(batch, ranges) {
            let end = slice.start + slice.tokens.count
            for segment in segments[range] where segment.end > slice.start && segment.start < end {
                for position in max(segment.start, slice.start)..<min(segment.end, end) {
                    targets.append((segment, (position - segment.start) * segment.rowStride))
                }
            }
            let view = KVView(UnsafeBufferPointer(rebasing: segments[range]))
            spans.append(AttentionSpan(rows: row..<row + slice.tokens.count, kv: view))
            row += slice.tokens.count
        }
        return RowPlacement(
            positions: positions, keys: keyTable.fill(row) { targets[$0].segment.keys + targets[$0].offset },
            values: valueTable.fill(row) { targets[$0].segment.values + targets[$0].offset },
            queryPositions: positions, spans: spans)
    }

    private func copyRecords(_ index: Int, _ batch: [ServingSlice], _ t: LayerRows) {
        var row = 0
        for slice in batch {
            let count = slice.tokens.count
            if let block = slice.record?.layers[index] {
                precondition(block.rows == count, "a record block must have the slice's rows")
                let planes = [
                    (t.x, block.x), (t.q, block.q), (t.o, block.o), (t.lse, block.lse), (t.x2, block.x2),
                    (t.gateUp, block.gateUp),
                ]
                for (source, target) in planes {
                    Rows.copy(
                        source.asRows.dropping(row), to: target.asRows, count: count, width: source.columns,
                        pool: pool)
                }
            }
            row += count
        }
    }

    private func recordFinal(_ batch: [ServingSlice], _ stream: Matrix) {
        var row = 0
        for slice in batch {
            row += slice.tokens.count
            guard let block = slice.record?.final else { continue }
            precondition(block.rows == 1 || block.rows == slice.tokens.count, "a final block has one row or all")
            Rows.copy(
                stream.asRows.dropping(row - block.rows), to: block.x.asRows, count: block.rows, width: config.hidden,
                pool: pool)
        }
    }

    /// Final norm, head and greedy choice of the last tokens that want logits.
    private func head(
        _ batch: [ServingSlice], _ weights: Weights, _ stream: Matrix, _ logits: UnsafeMutableBufferPointer<Float>?
    ) -> [Int32?] {
        var wanted: [Int] = []
        var row = 0
        for slice in batch {
            row += slice.tokens.count
            if slice.wantsLogits { wanted.append(row - 1) }
        }
        guard !wanted.isEmpty else { return batch.map { _ in nil } }
        let v = config.vocabulary
        let h = config.hidden
        let memory = headScratch.reserve(wanted.count * (h + v))
        let normed = Matrix(memory, rows: wanted.count, columns: h)
        var scores = Matrix(memory + wanted.count * h, rows: wanted.count, columns: v)
        if let logits {
            precondition(logits.count >= wanted.count * v, "the logits need \(wanted.count * v) floats")
            if let base = logits.baseAddress { scores = Matrix(base, rows: wanted.count, columns: v) }
        }
        for (index, row) in wanted.enumerated() {
            RMSNorm.forward(
                x: stream.asRows.dropping(row), gain: weights.finalNorm, epsilon: Float(config.rmsEpsilon),
                y: normed.asRows.dropping(index), count: 1, width: h, pool: pool)
        }
        MatrixProduct.forward(normed, weights.head, scores, pool: pool)
        var next = 0
        return batch.map { slice in
            guard slice.wantsLogits else { return nil }
            defer { next += 1 }
            return Int32(truncatingIfNeeded: CrossEntropy.greedy(scores.base + next * v, v))
        }
    }
}
