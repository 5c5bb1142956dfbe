extension StepPlan {
    /// Canonical text of what the plan computes: two plans with the same text do the same work.
    ///
    /// Requests, layers and versions are left out as far as the work does not depend on them.
    public func shapeKey(lastLayer: Int) -> String {
        switch self {
        case .serve(let iteration): iteration.shapeKey
        case .train(let quantum): quantum.shapeKey(lastLayer: lastLayer)
        }
    }
}

extension ServingIteration {
    /// Prefill slices as `p COUNT @ CONTEXT`, with `r` when recorded and `e` when a token is emitted; then the contexts
    /// of the decoded sequences, ascending.
    fileprivate var shapeKey: String {
        var parts: [String] = []
        var contexts: [Int] = []
        for slice in slices {
            if slice.isPrefill {
                let flags = (slice.record == nil ? "" : "r\(slice.finalRows)") + (slice.emitsToken ? "e" : "")
                parts.append("p\(slice.tokens.count)@\(slice.tokens.lowerBound)\(flags)")
            } else {
                contexts.append(slice.tokens.upperBound)
            }
        }
        if !contexts.isEmpty { parts.append("d" + contexts.sorted().map(String.init).joined(separator: ",")) }
        return "serve " + parts.joined(separator: " ")
    }
}

extension TrainerQuantum {
    /// The units with their rows, then the sequences they work on as `TOKENS` with the recorded spans in brackets.
    fileprivate func shapeKey(lastLayer: Int) -> String {
        func text(_ range: Range<Int>) -> String { "\(range.lowerBound)-\(range.upperBound)" }
        func kind(of layer: Int) -> String { layer == 0 ? "0" : layer == lastLayer ? "L" : "" }
        var needsRows = false
        let units = units.map { unit in
            switch unit {
            case .forward(let layer, let rows):
                needsRows = true
                return "f\(kind(of: layer)):\(text(rows))"
            case .loss(let rows):
                needsRows = true
                return "l:\(text(rows))"
            case .backward(let layer, let rows):
                needsRows = true
                return "b\(kind(of: layer)):\(text(rows))"
            case .gradientNorm: return "n"
            case .optimizer(let parameters): return "o:\(parameters.count)"
            }
        }
        guard needsRows else { return "train " + units.joined(separator: " ") }
        let sequences = microBatch.sequences.map { sequence in
            let spans = sequence.recorded.map { text($0.tokens) }.joined(separator: ",")
            return "\(sequence.tokens)/\(sequence.lossTokens.count)[\(spans)]"
        }
        return "train " + units.joined(separator: " ") + " of " + sequences.joined(separator: " ")
    }
}
