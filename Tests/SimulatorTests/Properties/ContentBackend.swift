import Simulator

/// A cheap backend that follows, beside the bytes, what every row of every KV block holds: which token after which
/// others, and by which weights. A slice that would read anything but its own text, or write what others read, is a
/// problem.
struct ContentBackend: ExecutionBackend {
    /// One row of a block: its place in the tree of all texts, the version of its weights, and the oldest version among its
    /// own and those of all that it attended to.
    private struct Row: Equatable {
        var text: Int
        var version: Int
        var oldest: Int
    }

    let model = ModelShape(
        name: "two layers", layers: 2, hidden: 8, heads: 2, kvHeads: 1, headSize: 4, intermediate: 8, vocabulary: 512,
        maxContext: 512, tiedHead: true)
    let footprint: Footprint
    var books = ByteBooks()
    private var problems: [String] = []
    /// By request: the node of the tree of texts of each position.
    private let texts: [[Int]]
    private let blockTokens: Int
    private let sharesVersions: Bool
    private var blocks: [Int: [Row?]] = [:]
    private var swapped: [Int: [[Row?]]] = [:]
    private var version = 0
    /// By chunk: what its positions are of, and the versions that went into them.
    private var recorded: [ChunkID: [Int: Int]] = [:]
    private var versions: [ChunkID: ClosedRange<Int>] = [:]
    /// Chunks that were trained on and that weights of several versions went into.
    private(set) var mixed: Set<ChunkID> = []

    init(_ trace: Trace, blockTokens: Int, sharesVersions: Bool, plans: SavePlans = SavePlans()) {
        footprint = Footprint(model: model, tuning: .lora(rank: 1, alpha: 1, targets: [.query]), plans: plans)
        self.blockTokens = blockTokens
        self.sharesVersions = sharesVersions
        texts = Self.texts(of: trace)
        books.layers = model.layers
    }

    /// A position's node is that of the position before and its token; where the trace tells none, every position of a
    /// conversation has a token of its own.
    private static func texts(of trace: Trace) -> [[Int]] {
        var nodes: [[Int]: Int] = [:]
        return trace.requests.map { request in
            let ids = request.prompt.map { $0 + (request.output ?? []) }
            var node = 0
            return (0..<request.promptTokens + request.outputTokens).map { position in
                let conversation = Int(request.conversation?.dropFirst() ?? "") ?? 0
                let token = ids.map { Int($0[position]) } ?? (1_000 * (conversation + 1) + position)
                let key = [node, token]
                node = nodes[key] ?? nodes.count + 1
                nodes[key] = node
                return node
            }
        }
    }

    func servingWorkspace(tokens: Int) -> Bytes { Bytes(tokens) }
    func trainWorkspace(for microBatch: MicroBatch, unitRows: Int) -> Bytes { Bytes(8 * microBatch.rows) }

    private func time(of unit: TrainerUnit) -> SimDuration {
        let work =
            switch unit {
            case .forward(_, let rows), .loss(let rows), .reference(_, let rows), .score(let rows, _): rows.count
            case .recompute(_, let rows), .backward(_, let rows): 2 * rows.count
            case .gradientNorm, .optimizer: 1
            }
        return SimDuration(nanoseconds: Int64(200 + 20 * work))
    }

    func estimate(_ plan: StepPlan) -> SimDuration {
        switch plan {
        case .serve(let iteration):
            SimDuration(nanoseconds: Int64(500 + 30 * (iteration.prefillTokens + iteration.decodeTokens)))
        case .train(let quantum): quantum.units.reduce(.zero) { $0 + time(of: $1) }
        }
    }

    mutating func execute(_ plan: StepPlan) throws -> StepOutcome {
        var outcome = StepOutcome(duration: estimate(plan))
        switch plan {
        case .serve(let iteration):
            for slice in iteration.slices {
                books.run(slice, layers: model.layers)
                run(slice, version: iteration.version)
            }
        case .train(let quantum):
            for unit in quantum.units { books.check(unit, quantum.microBatch, layers: model.layers) }
            if quantum.units.contains(where: { $0.phase != .optimizer }) { check(quantum.microBatch) }
            outcome.unitDurations = quantum.units.map(time)
        }
        return outcome
    }

    private mutating func run(_ slice: ServingSlice, version: Int) {
        let table = books.requests[slice.request] ?? []
        guard table.count * blockTokens >= slice.tokens.upperBound else {
            problems.append("request \(slice.request) runs to \(slice.tokens.upperBound) in \(table.count) blocks")
            return
        }
        var oldest = version
        for position in 0..<slice.tokens.upperBound {
            let (block, row) = (table[position / blockTokens], position % blockTokens)
            if position < slice.tokens.lowerBound {
                if blocks[block]?[row]?.text != texts[slice.request][position] {
                    problems.append("request \(slice.request) reads another text at \(position)")
                }
                oldest = min(oldest, blocks[block]?[row]?.oldest ?? oldest)
            } else {
                if blocks[block]?[row] != nil {
                    problems.append("request \(slice.request) writes what is there at \(position)")
                }
                blocks[block]?[row] = Row(text: texts[slice.request][position], version: version, oldest: oldest)
                if let chunk = slice.record { recorded[chunk, default: [:]][position] = texts[slice.request][position] }
            }
        }
        guard let chunk = slice.record else { return }
        let before = versions[chunk] ?? oldest...version
        versions[chunk] = min(before.lowerBound, oldest)...max(before.upperBound, version)
    }

    /// Records, whoever they were made for, are of the tokens that they stand for, and of the versions.
    private mutating func check(_ batch: MicroBatch) {
        for sequence in batch.sequences {
            for span in sequence.recorded {
                for position in span.tokens
                where recorded[span.chunk]?[position] != texts[sequence.request][position] {
                    problems.append("request \(sequence.request) is trained on another text's record at \(position)")
                }
                if let made = versions[span.chunk], made != span.versions {
                    problems.append("\(span.chunk) is taken for one of versions \(span.versions), but is of \(made)")
                }
                if span.versions.count > 1 { mixed.insert(span.chunk) }
            }
            for (a, b) in zip(sequence.recorded, sequence.recorded.dropFirst())
            where a.tokens.upperBound > b.tokens.lowerBound {
                problems.append("records of request \(sequence.request) overlap or are out of order")
            }
        }
    }

    mutating func apply(_ movements: [DataMovement]) throws {
        for movement in movements {
            switch movement {
            case .extendRequest(_, let ids):
                for id in ids { blocks[id] = [Row?](repeating: nil, count: blockTokens) }
            case .shareBlocks(let request, let ids):
                for id in ids { check(blocks[id]?[...] ?? [], for: request) }
            case .copyBlock(let source, let target, let tokens):
                let rows = blocks[source]?.prefix(tokens) ?? []
                check(rows, for: -1)
                blocks[target] = rows + [Row?](repeating: nil, count: blockTokens - tokens)
            case .freeBlocks(let ids):
                for id in ids { blocks[id] = nil }
            case .swappedOut(let request):
                swapped[request] = (books.requests[request] ?? []).map { blocks[$0] ?? [] }
            case .swappedIn(let request):
                for (id, rows) in zip(books.requests[request] ?? [], swapped.removeValue(forKey: request) ?? []) {
                    blocks[id] = rows
                }
            case .forgotten(let chunk):
                recorded[chunk] = nil
                versions[chunk] = nil
            default: break
            }
            books.follow(movement)
        }
    }

    /// What is found is whole, and of the served weights unless versions are shared.
    private mutating func check(_ rows: ArraySlice<Row?>, for request: Int) {
        if rows.contains(nil) { problems.append("request \(request) shares a block that is not full") }
        if !sharesVersions, rows.contains(where: { $0?.version != version }) {
            problems.append("request \(request) shares what other weights made")
        }
    }

    mutating func advance(version: Int) throws {}
    mutating func publish(version: Int) throws { self.version = version }
    mutating func open(_ microBatch: MicroBatch, unitRows: Int) throws {}
    mutating func close(_ microBatch: MicroBatch) throws {}
    mutating func audit(_ microBatches: [MicroBatch]) throws -> GradientAudit? { nil }
    mutating func forgetVersions(before version: Int) {}

    var allProblems: [String] { books.problems + problems + (books.isEmpty ? [] : ["bytes are left at the end"]) }
}
