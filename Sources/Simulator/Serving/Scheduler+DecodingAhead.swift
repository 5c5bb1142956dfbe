internal import HeapModule

/// Decoding when nothing else happens: what an iteration would decide, without planning it.
extension Scheduler {
    /// A batch that only decodes, for as many iterations as pass before any sequence is done.
    struct DecodingStretch {
        /// The requests that decode, in the order of an iteration's slices.
        let requests: [Int32]
        /// Sum of the contexts, each with its next token.
        var pairs: Int
        /// Iterations that finish no sequence.
        var iterations: Int
    }

    /// The stretch that begins now; nil unless every sequence that has arrived runs, decodes and has its place in the next
    /// iteration.
    func decodingStretch() -> DecodingStretch? {
        guard waiting.isEmpty, !running.isEmpty, running.count <= configuration.tokenBudget, starving.isEmpty else {
            return nil
        }
        var requests: [Int32] = []
        requests.reserveCapacity(running.count)
        var (pairs, iterations) = (0, Int.max)
        for slot in running {
            guard sequences[slot].state == .running, !sequences[slot].isPrefilling, sequences[slot].lastToken != nil
            else { return nil }
            requests.append(Int32(sequences[slot].request))
            pairs += sequences[slot].computed + 1
            iterations = min(iterations, sequences[slot].outputTokens - sequences[slot].generated - 1)
        }
        return DecodingStretch(requests: requests, pairs: pairs, iterations: iterations)
    }

    /// Gives every sequence the block that its next token wants; false when one is short of it. What others have got stays
    /// theirs, as when an iteration is planned.
    mutating func extendForDecoding(_ memory: inout MemorySystem) -> Bool {
        for slot in running where sequences[slot].kvBlocks.count * memory.kv.blockTokens <= sequences[slot].computed {
            guard extend(slot, by: 1, &memory) else { return false }
        }
        return true
    }

    /// Books an iteration of a stretch, which has made a token of every sequence.
    mutating func completeDecoding(version: Int, _ memory: inout MemorySystem) {
        for slot in running {
            sequences[slot].computed += 1
            sequences[slot].generated += 1
            sequences[slot].oldestKV = min(sequences[slot].oldestKV ?? version, version)
            if sequences[slot].hashes != nil { register(slot, version: version, &memory) }
        }
    }

    /// When the last token of each running sequence was there; sets it.
    mutating func noteTokens(at now: SimTime, _ gap: (_ request: Int, _ last: SimTime) -> Void) {
        for slot in running {
            if let last = sequences[slot].lastToken { gap(sequences[slot].request, last) }
            sequences[slot].lastToken = now
        }
    }
}
