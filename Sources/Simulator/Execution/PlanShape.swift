/// What a plan computes, whoever it computes it for: two plans with equal shapes do the same work.
///
/// Requests, layers and versions are left out as far as the work does not depend on them. A shape is a run of numbers
/// that is quick to make and compare; `key` spells it out.
public struct PlanShape: Hashable, Sendable {
    private let codes: [Int32]

    public init(_ plan: StepPlan, lastLayer: Int) {
        switch plan {
        case .serve(let iteration): codes = Self.codes(of: iteration)
        case .train(let quantum): codes = Self.codes(of: quantum, lastLayer: lastLayer)
        }
    }

    private var isServing: Bool { codes[0] == 0 }

    /// Canonical text: `serve p12@0r1e d17,45 r23` or `train f:0-64 of 120/30[0-64]`.
    public var key: String {
        var reader = Reader(codes: codes[1...])
        return isServing ? "serve " + reader.serving() : "train " + reader.training()
    }

    // MARK: Making

    private static func code(_ value: Int) -> Int32 { Int32(truncatingIfNeeded: value) }

    /// 0, the number of prefill slices, four numbers for each, then the contexts of the decoded sequences, ascending;
    /// those of recorded tokens are negative.
    private static func codes(of iteration: ServingIteration) -> [Int32] {
        var codes: [Int32] = [0, 0]
        codes.reserveCapacity(2 + 4 * iteration.slices.count)
        for slice in iteration.slices where slice.isPrefill {
            codes[1] += 1
            codes.append(code(slice.tokens.count))
            codes.append(code(slice.tokens.lowerBound))
            codes.append(slice.record == nil ? -1 : code(slice.finalRows))
            codes.append(slice.emitsToken ? 1 : 0)
        }
        let first = codes.count
        for slice in iteration.slices where !slice.isPrefill {
            codes.append(code(slice.record == nil ? slice.tokens.upperBound : -slice.tokens.upperBound))
        }
        codes[first...].sort()
        return codes
    }

    /// 1, the number of units, four numbers for each, then the sequences they work on, if any unit looks at rows:
    /// their first position where that is not the prompt's, tokens, loss tokens, the number of recorded spans, and their
    /// ends.
    private static func codes(of quantum: TrainerQuantum, lastLayer: Int) -> [Int32] {
        func place(of layer: Int) -> Int32 { layer == 0 ? 1 : layer == lastLayer ? 2 : 0 }
        var codes: [Int32] = [1, code(quantum.units.count)]
        var needsRows = false
        for unit in quantum.units {
            switch unit {
            case .forward(let layer, let rows):
                codes += [0, place(of: layer), code(rows.lowerBound), code(rows.upperBound)]
                needsRows = true
            case .reference(let layer, let rows):
                codes += [6, place(of: layer), code(rows.lowerBound), code(rows.upperBound)]
                needsRows = true
            case .score(let rows, let ofReference):
                codes += [7, ofReference ? 1 : 0, code(rows.lowerBound), code(rows.upperBound)]
                needsRows = true
            case .loss(let rows):
                codes += [1, 0, code(rows.lowerBound), code(rows.upperBound)]
                needsRows = true
            case .backward(let layer, let rows):
                codes += [2, place(of: layer), code(rows.lowerBound), code(rows.upperBound)]
                needsRows = true
            case .recompute(let layer, let rows):
                // Layers may differ in what was kept of them.
                codes += [5, code(layer), code(rows.lowerBound), code(rows.upperBound)]
                needsRows = true
            case .gradientNorm: codes += [3, 0, 0, 0]
            case .optimizer(let parameters):
                // A large model has more parameters than one number holds.
                codes += [4, 0, code(parameters.count >> 31), code(parameters.count & 0x7fff_ffff)]
            }
        }
        guard needsRows else { return codes }
        for sequence in quantum.microBatch.sequences {
            // What goes on from a prompt that others share begins later; the number before it is negative.
            if sequence.positions.lowerBound > 0 { codes.append(code(-sequence.positions.lowerBound)) }
            codes += [code(sequence.tokens), code(sequence.lossTokens.count), code(sequence.recorded.count)]
            for span in sequence.recorded { codes += [code(span.tokens.lowerBound), code(span.tokens.upperBound)] }
        }
        return codes
    }

    // MARK: Spelling out

    private struct Reader {
        var codes: ArraySlice<Int32>

        mutating func next() -> Int { Int(codes.popFirst() ?? 0) }
        mutating func range() -> String { "\(next())-\(next())" }

        /// Prefill slices as `p COUNT @ CONTEXT`, with `r` and the final rows kept when recorded, and `e` when a token is
        /// emitted; then the contexts of the decoded sequences, those of recorded tokens after `r`.
        mutating func serving() -> String {
            var parts: [String] = []
            for _ in 0..<next() {
                let (count, start, finalRows, emits) = (next(), next(), next(), next())
                parts.append("p\(count)@\(start)" + (finalRows < 0 ? "" : "r\(finalRows)") + (emits == 1 ? "e" : ""))
            }
            let recorded = codes.prefix { $0 < 0 }
            let others = codes.dropFirst(recorded.count)
            if !others.isEmpty { parts.append("d" + others.map(String.init).joined(separator: ",")) }
            if !recorded.isEmpty { parts.append("r" + recorded.reversed().map { "\(-$0)" }.joined(separator: ",")) }
            return parts.joined(separator: " ")
        }

        /// The units with their rows, then the sequences as `TOKENS/LOSS TOKENS` with the recorded spans in brackets, those
        /// behind a shared prompt with `+` and their first position before.
        mutating func training() -> String {
            let places = ["", "0", "L"]
            let units = (0..<next()).map { _ in
                let (unit, layer) = (next(), next())
                let place = unit == 5 ? "\(layer)" : places[layer]
                switch unit {
                case 5: return "r\(place):\(range())"
                case 0: return "f\(place):\(range())"
                case 6: return "R\(place):\(range())"
                case 7: return (layer == 1 ? "S:" : "s:") + range()
                case 1: return "l:\(range())"
                case 2: return "b\(place):\(range())"
                case 3:
                    _ = range()
                    return "n"
                default:
                    let high = next() << 31
                    return "o:\(high + next())"
                }
            }
            var sequences: [String] = []
            while !codes.isEmpty {
                var start = ""
                var tokens = next()
                if tokens < 0 {
                    start = "+\(-tokens):"
                    tokens = next()
                }
                let (loss, spans) = (next(), next())
                let recorded = (0..<spans).map { _ in range() }.joined(separator: ",")
                sequences.append("\(start)\(tokens)/\(loss)[\(recorded)]")
            }
            let text = units.joined(separator: " ")
            return sequences.isEmpty ? text : text + " of " + sequences.joined(separator: " ")
        }
    }
}

extension StepPlan {
    public func shape(lastLayer: Int) -> PlanShape { PlanShape(self, lastLayer: lastLayer) }
}
