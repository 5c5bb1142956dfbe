import Simulator

/// A backend for tests of decisions: every operator takes its FLOPs and bytes at fixed rates. No clock, no data.
///
/// It also follows the movements of bytes as the measured backend does, and traps on one that makes no sense.
struct RateBackend: ExecutionBackend {
    var model: ModelShape
    var footprint: Footprint
    var flopsPerSecond = 100e9
    var bytesPerSecond = 20e9
    var overhead = SimDuration(nanoseconds: 20_000)
    var books = ByteBooks()
    /// What it says that it held.
    var arenaPeaks: [ArenaPeak] = []

    init(
        model: ModelShape = .tiny, tuning: Tuning = .lora(rank: 4, alpha: 8, targets: Projection.allCases),
        plans: SavePlans = SavePlans()
    ) {
        self.model = model
        books.layers = model.layers
        footprint = Footprint(model: model, tuning: tuning, plans: plans)
    }

    func servingWorkspace(tokens: Int) -> Bytes { Bytes(tokens * 4 * (model.qkvWidth + 3 * model.intermediate)) }

    func trainWorkspace(for microBatch: MicroBatch, unitRows: Int) -> Bytes {
        Bytes(4 * (microBatch.rows * model.hidden + unitRows * 3 * model.intermediate))
    }

    func time(of operators: [Operator]) -> SimDuration {
        operators.reduce(overhead) { sum, op in
            let seconds = max(op.flops / flopsPerSecond, op.bytes / bytesPerSecond) * Double(op.count)
            return sum + SimDuration(nanoseconds: Int64(seconds * 1e9) + 1)
        }
    }

    func estimate(_ plan: StepPlan) -> SimDuration {
        time(of: OperatorList(footprint).operators(of: plan))
    }

    mutating func execute(_ plan: StepPlan) throws -> StepOutcome {
        var outcome = StepOutcome(duration: estimate(plan))
        switch plan {
        case .serve(let iteration):
            for slice in iteration.slices { books.run(slice, layers: model.layers) }
        case .train(let quantum):
            let list = OperatorList(footprint)
            outcome.unitDurations = quantum.units.map { unit in
                books.check(unit, quantum.microBatch, layers: model.layers)
                return time(of: list.operators(of: unit, in: quantum.microBatch))
            }
            outcome.duration = outcome.unitDurations.reduce(.zero, +)
            outcome.gradientNorm = quantum.units.contains(.gradientNorm) ? 1 : nil
        }
        return outcome
    }

    mutating func apply(_ movements: [DataMovement]) throws { for movement in movements { books.follow(movement) } }
    mutating func advance(version: Int) throws {}
    mutating func publish(version: Int) throws {}
    mutating func open(_ microBatch: MicroBatch, unitRows: Int) throws {}
    mutating func close(_ microBatch: MicroBatch) throws {}
    mutating func audit(_ microBatches: [MicroBatch]) throws -> GradientAudit? { nil }
    mutating func forgetVersions(before version: Int) {}
}

extension ModelShape {
    static let tiny = ModelShape(
        name: "tiny", layers: 3, hidden: 32, heads: 4, kvHeads: 2, headSize: 8, intermediate: 64, vocabulary: 128,
        maxContext: 512, tiedHead: true)
}

/// Where real bytes would be, kept independently of the store under test.
struct ByteBooks {
    struct Piece {
        var device = true
        var hostRoom = false
        var host = false
        var stagedActivations = false
        var stagedKV = false
    }

    var requests: [Int: [Int]] = [:]
    var swapped: [Int: Int] = [:]
    var liveBlocks: Set<Int> = []
    var pieces: [ChunkID: [Int: Piece]] = [:]
    var chunks: [ChunkID: DataMovement.Record] = [:]
    var written: [ChunkID: Int] = [:]
    var layers = 0
    /// Whether a record goes back at least as far as what is recorded before it in its sequence, to which it attended: as
    /// long as K and V are computed once.
    var keepsVersions = false
    /// Records that ended before they were full.
    var sealed = 0
    var problems: [String] = []

    mutating func run(_ slice: ServingSlice, layers: Int) {
        if requests[slice.request] == nil { problems.append("request \(slice.request) runs without KV") }
        guard let chunk = slice.record else { return }
        guard let record = chunks[chunk], pieces[chunk]?.values.allSatisfy(\.device) == true else {
            problems.append("\(chunk) is written where it is not")
            return
        }
        // Each position once, in order, and within the room.
        let next = record.first + written[chunk, default: 0]
        if slice.tokens.lowerBound != next || slice.tokens.upperBound > record.first + record.rows {
            problems.append("\(chunk) takes positions \(slice.tokens)")
        }
        written[chunk, default: 0] += slice.tokens.count
        let table = requests[slice.request] ?? []
        if !Set(record.blocks).isSubset(of: table) { problems.append("\(chunk) is written beside its K and V") }
    }

    mutating func check(_ unit: TrainerUnit, _ batch: MicroBatch, layers: Int) {
        if keepsVersions {
            for sequence in batch.sequences {
                var oldest = Int.max
                for span in sequence.recorded {
                    if span.versions.lowerBound > oldest {
                        problems.append("\(span.chunk) forgets version \(oldest), which it attended to")
                    }
                    oldest = min(oldest, span.versions.lowerBound)
                }
            }
        }
        for (chunk, _) in batch.chunks {
            if written[chunk] != chunks[chunk]?.rows { problems.append("\(chunk) is read half-written") }
            switch unit {
            case .forward(let layer, _):
                guard let piece = pieces[chunk]?[layer], piece.device || piece.stagedKV else {
                    problems.append("forward of layer \(layer) without the K and V of \(chunk)")
                    continue
                }
            case .recompute(let layer, _), .backward(let layer, _):
                guard let piece = pieces[chunk]?[layer], piece.device || piece.stagedKV && piece.stagedActivations
                else {
                    problems.append("backward of layer \(layer) without \(chunk)")
                    continue
                }
            case .loss, .score(_, ofReference: false):
                guard let piece = pieces[chunk]?[layers] ?? (chunks[chunk]?.finalRows == 0 ? Piece() : nil),
                    piece.device || piece.stagedActivations
                else {
                    problems.append("loss without the final rows of \(chunk)")
                    continue
                }
            case .gradientNorm, .optimizer, .reference, .score: break
            }
        }
    }

    mutating func follow(_ movement: DataMovement) {
        switch movement {
        case .extendRequest(let request, let blocks):
            requests[request, default: []] += blocks
            for block in blocks where !liveBlocks.insert(block).inserted { problems.append("block \(block) is taken") }
        case .shareBlocks(let request, let blocks):
            requests[request, default: []] += blocks
            for block in blocks where !liveBlocks.contains(block) { problems.append("block \(block) is not there") }
        case .copyBlock(let source, let target, _):
            for block in [source, target] where !liveBlocks.contains(block) {
                problems.append("block \(block) is not there to be copied")
            }
        case .shrinkRequest(let request, let count):
            guard let blocks = requests[request], blocks.count > count else {
                problems.append("request \(request) keeps \(count) blocks of fewer")
                return
            }
            requests[request] = Array(blocks[..<count])
        case .closeRequest(let request):
            if requests.removeValue(forKey: request) == nil { problems.append("request \(request) closes twice") }
        case .freeBlocks(let blocks):
            for block in blocks where liveBlocks.remove(block) == nil {
                problems.append("block \(block) is freed twice")
            }
        case .swapsOut(let request):
            if requests[request] == nil { problems.append("request \(request) leaves, but has no blocks") }
        case .swappedOut(let request):
            guard let blocks = requests.removeValue(forKey: request) else {
                problems.append("request \(request) is swapped out, but has no blocks")
                return
            }
            swapped[request] = blocks.count
        case .swappedIn(let request):
            if swapped.removeValue(forKey: request) != requests[request]?.count {
                problems.append("request \(request) is swapped in to other blocks than it had")
            }
        case .beganRecord(let chunk, let record):
            if chunks.updateValue(record, forKey: chunk) != nil { problems.append("\(chunk) begins twice") }
            let made = 0..<(record.finalRows > 0 ? layers + 1 : layers)
            pieces[chunk] = Dictionary(uniqueKeysWithValues: made.map { ($0, Piece()) })
        case .sealed(let chunk, let rows):
            if rows >= chunks[chunk]?.rows ?? 0 { problems.append("\(chunk) ends after \(rows) tokens") }
            sealed += 1
            chunks[chunk]?.rows = rows
            chunks[chunk]?.finalRows = rows
        case .reservedOnHost(let chunk, let set):
            for layer in set {
                if pieces[chunk]?[layer]?.hostRoom != false { problems.append("\(chunk) has room twice") }
                pieces[chunk]?[layer]?.hostRoom = true
            }
        case .freedOnHost(let chunk, let set):
            for layer in set {
                if pieces[chunk]?[layer]?.hostRoom != true || pieces[chunk]?[layer]?.device != true {
                    problems.append("\(chunk) layer \(layer) loses a copy that it needs or lacks")
                }
                pieces[chunk]?[layer]?.hostRoom = false
                pieces[chunk]?[layer]?.host = false
            }
        case .unstaged(let chunk, let layer):
            pieces[chunk]?[layer]?.stagedActivations = false
            pieces[chunk]?[layer]?.stagedKV = false
        case .copiedToHost(let chunk, let layer):
            if pieces[chunk]?[layer]?.device != true || pieces[chunk]?[layer]?.hostRoom != true {
                problems.append("\(chunk) layer \(layer) leaves, but is not there, or has no room")
            }
            pieces[chunk]?[layer]?.host = true
        case .freedOnDevice(let chunk, let layer):
            if pieces[chunk]?[layer]?.device != true { problems.append("\(chunk) layer \(layer) is freed twice") }
            pieces[chunk]?[layer]?.device = false
        case .copiedToDevice(let chunk, let layer, let part):
            if pieces[chunk]?[layer]?.host != true { problems.append("\(chunk) layer \(layer) returns from nowhere") }
            if part == .kv {
                pieces[chunk]?[layer]?.stagedKV = true
            } else {
                pieces[chunk]?[layer]?.stagedActivations = true
            }
        case .discarded(let chunk, let layer):
            if pieces[chunk]?.removeValue(forKey: layer) == nil {
                problems.append("\(chunk) layer \(layer) goes twice")
            }
        case .forgotten(let chunk):
            if pieces.removeValue(forKey: chunk)?.isEmpty != true { problems.append("\(chunk) forgotten with pieces") }
            chunks[chunk] = nil
            written[chunk] = nil
        }
    }

    var isEmpty: Bool { requests.isEmpty && swapped.isEmpty && liveBlocks.isEmpty && pieces.isEmpty }
}
