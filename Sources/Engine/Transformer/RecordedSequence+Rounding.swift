extension RecordedSequence {
    /// Which values of a record were rounded.
    package enum RoundedPart: Hashable, Sendable {
        case activations(layer: Int)
        case keysAndValues(layer: Int)
        case final
    }

    /// Rounded values of a record as training read them.
    package struct RoundedPiece {
        /// Positions of the block's rows.
        package let positions: Range<Int>
        package let block: NarrowBlock

        package init(positions: Range<Int>, block: NarrowBlock) {
            self.positions = positions
            self.block = block
        }
    }

    /// Rounds what was recorded as the pieces are rounded.
    ///
    /// Serving in other batches computes the same values but for the last bits, and where such a value lies near the
    /// boundary between two steps these bits decide which of them it is rounded to. A value that can have been rounded to
    /// the stored one, because it lies within half a step of it and `slack` of its row's largest, is set to the stored
    /// one. Any other is rounded by itself: a wrong record thus stays as far away as it is wrong.
    package func round(_ part: RoundedPart, as pieces: [RoundedPiece], slack: Float = 1e-5) {
        switch part {
        case .activations(let layer):
            for chunk in chunks {
                let block = chunk.layers[layer]
                for (plane, tensor) in block.tensors.enumerated() {
                    // The planes after the input are of the last tokens only, here and there.
                    let first = chunk.positions.upperBound - tensor.rows
                    round(tensor, from: first, plane, pieces, slack)
                }
            }
        case .keysAndValues(let layer):
            let segment = kv.segment(layer: layer, start: 0, count: kv.capacity)
            for (plane, base) in [segment.keys, segment.values].enumerated() {
                let tensor = Matrix(base, rows: kv.capacity, columns: config.keyWidth, stride: segment.rowStride)
                round(tensor, from: 0, plane, pieces, slack)
            }
        case .final:
            for chunk in chunks {
                guard let final = chunk.final else { continue }
                round(final.x, from: chunk.positions.upperBound - final.rows, 0, pieces, slack)
            }
        }
    }

    /// - Parameter first: position of the tensor's row 0.
    private func round(_ tensor: Matrix, from first: Int, _ plane: Int, _ pieces: [RoundedPiece], _ slack: Float) {
        for piece in pieces {
            let held = piece.block.layout.planes[plane]
            guard !held.isExact, held.rows > 0 else { continue }
            let start = piece.positions.upperBound - held.rows
            let own = (first..<first + tensor.rows).clamped(to: start..<piece.positions.upperBound)
            for position in own {
                piece.block.settle(
                    tensor.base + (position - first) * tensor.stride, plane: plane, row: position - start, slack: slack)
            }
        }
    }
}

extension NarrowBlock {
    /// Rounds a row of floats: to what the block stores where that is what they can have been rounded to.
    package func settle(_ x: UnsafeMutablePointer<Float>, plane number: Int, row: Int, slack: Float) {
        let columns = layout.planes[number].columns
        var stored = [Float](repeating: 0, count: columns)
        stored.withUnsafeMutableBufferPointer {
            if let base = $0.baseAddress { load(plane: number, row: row, to: base) }
        }
        let lone = NarrowBlock(layout.row(of: number))
        lone.store(x, plane: 0, row: 0)
        var rounded = stored
        rounded.withUnsafeMutableBufferPointer {
            if let base = $0.baseAddress { lone.load(plane: 0, row: 0, to: base) }
        }
        var largest: Float = 0
        for column in 0..<columns { largest = max(largest, abs(x[column])) }
        for column in 0..<columns {
            let half = halfStep(plane: number, row: row, at: max(abs(x[column]), abs(stored[column])))
            let isStored = abs(x[column] - stored[column]) <= half + slack * largest
            x[column] = isStored ? stored[column] : rounded[column]
        }
    }
}
