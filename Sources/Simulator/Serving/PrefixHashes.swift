/// What the full KV blocks of requests hold, told without their token ids where the trace has none.
///
/// A conversation is one text: every prompt begins with all earlier turns. So a position of it stands for its token: by
/// the id where any turn tells it, else by the name of the prompt's leading block that it lies in, else by conversation
/// and position. Equal hashes mean equal tokens, and turn k finds the blocks of turn k - 1, answer included, whether or
/// not the trace tells ids.
public struct PrefixHashes: Sendable {
    private let requests: [Request]
    private let blockTokens: Int
    /// Index of the first turn of each request's conversation; a request outside any is its own.
    private var first: [Int32]
    /// By the index of a first turn: the last turn of the conversation with ids in its prompt, or -1.
    private var lastPrompt: [Int32]

    public init(_ trace: Trace, blockTokens: Int) {
        requests = trace.requests
        self.blockTokens = blockTokens
        first = []
        first.reserveCapacity(requests.count)
        lastPrompt = [Int32](repeating: -1, count: requests.count)
        for (index, request) in requests.enumerated() {
            first.append(request.previousTurn.map { first[$0] } ?? Int32(index))
            if request.prompt != nil { lastPrompt[Int(first[index])] = Int32(index) }
        }
    }

    /// The chained hashes of the full blocks among the positions of a request that are ever run.
    public func hashes(of request: Int) -> [BlockHash] {
        let count = (requests[request].promptTokens + requests[request].outputTokens - 1) / blockTokens
        let known = knownIDs(of: request, upTo: count * blockTokens)
        var hash = BlockHash()
        var part = known[...]
        return (0..<count).map { block in
            let positions = block * blockTokens..<(block + 1) * blockTokens
            while let range = part.first?.positions, range.upperBound <= positions.lowerBound { part.removeFirst() }
            if let next = part.first?.positions.lowerBound, next < positions.upperBound {
                var ids = part
                for position in positions {
                    while let range = ids.first?.positions, range.upperBound <= position { ids.removeFirst() }
                    if let run = ids.first, run.positions.contains(position) {
                        hash.absorb(UInt64(run.ids[run.ids.startIndex + position - run.positions.lowerBound]))
                    } else {
                        absorb(position..<position + 1, of: request, into: &hash)
                    }
                }
            } else {
                absorb(positions, of: request, into: &hash)
            }
            return hash
        }
    }

    /// Takes in positions whose ids nobody tells: as runs within named blocks, and what follows these as a place in the
    /// conversation.
    private func absorb(_ positions: Range<Int>, of request: Int, into hash: inout BlockHash) {
        let opening = requests[Int(first[request])]
        var position = positions.lowerBound
        if let prefix = opening.prefix {
            let named = prefix.coverage(of: opening.promptTokens)
            while position < min(named, positions.upperBound) {
                let offset = position % prefix.blockTokens
                let count = min(prefix.blockTokens - offset, min(named, positions.upperBound) - position)
                hash.absorb(1 << 62 | UInt64(prefix.blocks[position / prefix.blockTokens]))
                hash.absorb(UInt64(offset) << 32 | UInt64(count))
                position += count
            }
        }
        if position < positions.upperBound { hash.absorb(1 << 63 | UInt64(first[request]) << 32 | UInt64(position)) }
    }

    /// Runs of positions whose token ids the trace tells, ascending: those of the last prompt of the conversation that
    /// has ids, then those of answers after it.
    private func knownIDs(of request: Int, upTo end: Int) -> [(positions: Range<Int>, ids: ArraySlice<Int32>)] {
        var runs: [(positions: Range<Int>, ids: ArraySlice<Int32>)] = []
        let last = Int(lastPrompt[Int(first[request])])
        let told = last >= 0 ? requests[last].promptTokens : 0
        var turn = Optional(request)
        while let index = turn, requests[index].promptTokens >= told {
            let start = requests[index].promptTokens
            if let output = requests[index].output, start < end {
                runs.append((start..<min(end, start + output.count), output.prefix(end - start)))
            }
            turn = requests[index].previousTurn
        }
        if last >= 0, let prompt = requests[last].prompt {
            runs.append((0..<min(end, told), prompt.prefix(end)))
        }
        return runs.reversed()
    }
}
