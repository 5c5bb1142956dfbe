internal import Glibc

/// Forward, loss and backward of one micro-batch, in units that the caller orders and interrupts at will.
///
/// For a model of L layers: `forward(layer, rows)` for layers 0..<L over the fresh rows, in ascending row ranges per
/// layer; `loss(rows)` over the loss rows; then for layers L-1...0, where `needsRecompute(layer)`,
/// `recompute(layer, rows)` over all packed rows, in ascending row ranges, and `backward(layer, rows)` over all packed
/// rows, in descending ones, followed by `finishedBackward(layer)`. Gradients are added to `gradients`.
///
/// Recorded positions skip the forward pass. Their K and V must be attached before a layer's forward pass and stay until
/// its backward pass is done; their activations before its recomputation or backward pass; their final norm input, where
/// they carry loss, before `loss`. The caller keeps attached K and V alive; attached blocks are held until detached.
///
/// Wrong order, missing attachments and wrong shapes are programmer errors and trap. Opening a pass makes all tables;
/// after `reserve`, units allocate nothing.
public final class TrainingPass {
    public let config: ModelConfig
    public let packing: Packing
    /// What is kept between forward and backward.
    public let plan: PassPlan
    /// Longest row range of one unit.
    public let unitRows: Int
    let workspace: TrainingWorkspace
    let parameters: ModelParameters
    /// Where gradients go; nil in a pass that only scores.
    private let target: GradientBuffer?
    var layers: [LayerState]
    var final: FinalBlock?
    var recordedFinal: [(rows: Range<Int>, block: FinalBlock, row: Int)] = []
    /// Weight of each loss row.
    var lossWeights: [Float]
    /// Gradient of the residual stream [packed rows, hidden], then of K and V [packed rows, 2 keyWidth].
    let stream: UnsafeMutablePointer<Float>

    /// What a layer holds: the pass's own activations of fresh rows, and what was attached.
    struct LayerState {
        var block: ActivationBlock?
        var kv: KVBlock?
        var derived: FloatBuffer?
        /// By sequence, in order of position.
        var recordedKV: [[KVSegment]]
        /// In order of rows.
        var recorded: [RecordedRun] = []
        /// Fresh rows done forward.
        var forwardEnd = 0
        /// Packed rows computed again.
        var recomputeEnd = 0
        /// Packed rows from here on are done backward.
        var backwardStart: Int
    }

    /// Recorded rows whose activations lie from row `row` of a block on.
    struct RecordedRun {
        let rows: Range<Int>
        let block: ActivationBlock
        let row: Int
    }

    /// A pass at `parameters`; in LoRA mode they include the adapters trained.
    ///
    /// Scratch is made for units of at most `unitRows` rows, by default the workspace's, which is also the most.
    public convenience init(
        _ workspace: TrainingWorkspace, parameters: ModelParameters, sequences: [TrainingSequence],
        gradients: GradientBuffer, plan: PassPlan = PassPlan(), unitRows: Int? = nil
    ) {
        precondition(gradients.config == workspace.config, "workspace and gradients belong to different models")
        if case .lora(let lora) = gradients.tuning {
            precondition(parameters.adapters?.lora == lora, "the adapters do not match the gradients")
        } else {
            precondition(parameters.adapters == nil, "full tuning trains the weights without adapters")
        }
        self.init(workspace, parameters, sequences, target: gradients, plan: plan, unitRows: unitRows)
    }

    /// A pass that only runs forward and scores, as a reference model's does; it keeps nothing of a layer that the next
    /// one has no use for.
    public convenience init(
        scoring workspace: TrainingWorkspace, parameters: ModelParameters, sequences: [TrainingSequence],
        unitRows: Int? = nil
    ) {
        self.init(
            workspace, parameters, sequences, target: nil, plan: .scoring, unitRows: unitRows)
    }

    private init(
        _ workspace: TrainingWorkspace, _ parameters: ModelParameters, _ sequences: [TrainingSequence],
        target: GradientBuffer?, plan: PassPlan, unitRows: Int?
    ) {
        precondition(
            parameters.weights.config == workspace.config, "workspace and weights belong to different models")
        self.unitRows = unitRows ?? workspace.unitRows
        precondition(
            self.unitRows > 0 && self.unitRows <= workspace.unitRows,
            "a unit has at least one row, and at most the workspace's \(workspace.unitRows)")
        self.workspace = workspace
        self.parameters = parameters
        self.target = target
        self.plan = plan
        config = workspace.config
        packing = Packing(sequences)
        lossWeights = packing.lossWeights
        let rows = packing.rowCount
        precondition(rows > 0, "a micro-batch needs sequences")
        precondition(
            packing.positions.allSatisfy { Int($0) < workspace.config.maxContext }, "longer than the model's context")
        let known = 0..<Int32(workspace.config.vocabulary)
        precondition(
            packing.tokens.allSatisfy(known.contains) && packing.lossTargets.allSatisfy(known.contains),
            "token ids and targets must be below \(workspace.config.vocabulary)")
        layers = Array(
            repeating: LayerState(recordedKV: sequences.map { _ in [] }, backwardStart: rows),
            count: workspace.config.layers)
        stream = workspace.stream.reserve(rows * TrainingWorkspace.streamFloatsPerRow(workspace.config))
        memset(stream, 0, rows * workspace.config.hidden * MemoryLayout<Float>.stride)
        _ = workspace.recompute.reserve(RecomputePlaces.floats(config, plan, self.rows))
    }

    /// Gives back what the pass still holds, as when it is abandoned half-way.
    deinit {
        for index in layers.indices { releaseBlocks(of: index) }
        releaseFinal()
    }

    var isScoring: Bool { target == nil }

    var gradients: GradientBuffer {
        guard let target else { preconditionFailure("a pass that scores has no gradients") }
        return target
    }

    /// What is trained; nothing in a pass that scores.
    var lora: LoRAConfig? { parameters.adapters?.lora }

    /// The pass's rows in numbers.
    public var rows: PassRows {
        PassRows(
            fresh: packing.fresh.count, freshLoss: packing.freshLoss.count, recorded: packing.recorded.count,
            recordedLoss: packing.recordedLoss.count)
    }

    /// Bytes of activations, K and V of fresh rows held now.
    public var activationByteCount: Int {
        layers.indices.reduce(final?.byteCount ?? 0) { sum, layer in
            let held = layers[layer]
            let derived = held.derived == nil ? 0 : derivedFloats(layer) * MemoryLayout<Float>.stride
            return sum + (held.block?.byteCount ?? 0) + (held.kv?.byteCount ?? 0) + derived
        }
    }

    // MARK: Attaching what serving recorded

    /// Attaches K and V of recorded positions, those of the segment.
    public func attachKV(layer: Int, sequence: Int, _ segment: KVSegment) {
        let known = layers[layer].recordedKV[sequence]
        let place = known.lastIndex { $0.start < segment.start }.map { $0 + 1 } ?? 0
        layers[layer].recordedKV[sequence].insert(segment, at: place)
    }

    /// Attaches the activations of recorded `positions`, from row `row` of `block` on; the block's plan is the pass's for
    /// records of this layer.
    public func attachActivations(
        layer: Int, sequence: Int, positions: Range<Int>, _ block: ActivationBlock, row: Int = 0
    ) {
        precondition(row >= 0 && row + positions.count <= block.rows, "the block does not hold these positions")
        precondition(block.plan == plan.recorded(layer), "the block holds \(block.plan), not \(plan.recorded(layer))")
        let rows = packing.rows(of: positions, sequence: sequence)
        precondition(packing.fresh.range(in: rows).isEmpty, "activations of rows that run forward are attached")
        let known = layers[layer].recorded
        let place = known.lastIndex { $0.rows.lowerBound < rows.lowerBound }.map { $0 + 1 } ?? 0
        precondition(
            (place == 0 || known[place - 1].rows.upperBound <= rows.lowerBound)
                && (place == known.count || known[place].rows.lowerBound >= rows.upperBound),
            "activations of packed rows \(rows) are attached twice")
        layers[layer].recorded.insert(RecordedRun(rows: rows, block: block, row: row), at: place)
    }

    /// Attaches the final norm's input of recorded `positions`, from row `row` of `block` on.
    public func attachFinal(sequence: Int, positions: Range<Int>, _ block: FinalBlock, row: Int = 0) {
        precondition(row >= 0 && row + positions.count <= block.rows, "the block does not hold these positions")
        recordedFinal.append((packing.rows(of: positions, sequence: sequence), block, row))
    }

    /// Lets go of everything attached to a layer.
    public func detach(layer: Int) {
        layers[layer].recorded.removeAll()
        for sequence in layers[layer].recordedKV.indices { layers[layer].recordedKV[sequence].removeAll() }
    }

    /// Lets go of the activations attached to a layer; K and V stay.
    public func detachActivations(layer: Int) { layers[layer].recorded.removeAll(keepingCapacity: true) }

    /// Frees the layer's own activations, and detaches what was attached to it; call it when all its rows are done
    /// backward.
    public func finishedBackward(layer: Int) {
        precondition(layers[layer].backwardStart == 0, "layer \(layer) has rows left")
        releaseBlocks(of: layer)
        detach(layer: layer)
        if layer == config.layers - 1 { releaseFinal() }
    }

    // MARK: Own blocks

    /// Makes room for all that the pass keeps and computes with, so that no unit of work has to. Without it room is made
    /// when it is first needed.
    public func reserve() {
        if !isScoring { _ = unitMemory() }
        workspace.layer.reserve(rows: min(unitRows, packing.rowCount), lora)
        workspace.layer.attention.reserve(backward: !isScoring)
        _ = workspace.lossMemory.reserve(workspace.lossChunk * TrainingWorkspace.lossFloatsPerRow(config))
        guard packing.fresh.count > 0, !isScoring else { return }
        for layer in layers.indices {
            _ = ownBlock(layer)
            if plan.own.savesKV { _ = ownKV(layer) }
            _ = ownDerived(layer)
        }
        _ = ownFinal()
    }

    /// Scratch of a backward unit.
    func unitMemory() -> UnsafeMutablePointer<Float> {
        workspace.unit.reserve(
            min(unitRows, packing.rowCount) * TrainingWorkspace.unitFloatsPerRow(config, gradients.tuning))
    }

    /// Where a layer's tensors lie that are computed again.
    func recomputePlaces(_ layer: Int) -> RecomputePlaces {
        RecomputePlaces(workspace.recompute.reserve(0), config, plan, rows, layer: layer)
    }

    /// The layer's block for fresh rows, made when first needed: by the layer below, which writes its input.
    func ownBlock(_ layer: Int) -> ActivationBlock {
        if let block = layers[layer].block { return block }
        let (count, queries) = (packing.fresh.count, rows.queries(config, layer: layer).fresh)
        let buffer = workspace.buffers.take(
            ActivationBlock.floatCount(config, rows: count, queryRows: queries, plan: plan.own))
        let block = ActivationBlock(config, rows: count, queryRows: queries, plan: plan.own, buffer: buffer)
        layers[layer].block = block
        return block
    }

    private func derivedFloats(_ layer: Int) -> Int {
        DerivedPlanes.floatCount(
            config, rows: packing.fresh.count, queryRows: rows.queries(config, layer: layer).fresh)
    }

    /// Where norms' outputs and SwiGLU products of fresh rows go; nil where they are not kept.
    func ownDerived(_ layer: Int) -> DerivedPlanes? {
        guard plan.keepsDerived else { return nil }
        let buffer = layers[layer].derived ?? workspace.buffers.take(derivedFloats(layer))
        layers[layer].derived = buffer
        return DerivedPlanes(
            buffer.base, config, rows: packing.fresh.count, queryRows: rows.queries(config, layer: layer).fresh)
    }

    private func ownKV(_ layer: Int) -> KVBlock {
        if let kv = layers[layer].kv { return kv }
        let count = packing.fresh.count
        let buffer = workspace.buffers.take(count * 2 * config.keyWidth)
        let kv = KVBlock(config, capacity: count, layers: 1, buffer: buffer)
        layers[layer].kv = kv
        return kv
    }

    /// K and V of fresh rows, as the positions from `start` on.
    func ownSegment(_ layer: Int, rows: Range<Int>, start: Int) -> KVSegment {
        guard !plan.own.savesKV else {
            return ownKV(layer).segment(layer: 0, row: rows.lowerBound, start: start, count: rows.count)
        }
        let kv = recomputePlaces(layer).kv.rows(from: rows.lowerBound, count: rows.count)
        return KVSegment(
            keys: kv.base, values: kv.base + config.keyWidth, rowStride: kv.stride, start: start, count: kv.rows)
    }

    /// The final norm's input of the fresh loss rows; nil when there are none.
    func ownFinal() -> FinalBlock? {
        if let final { return final }
        let count = packing.freshLoss.count
        guard count > 0 else { return nil }
        let block = FinalBlock(config, rows: count, buffer: workspace.buffers.take(count * config.hidden))
        final = block
        return block
    }

    func releaseBlocks(of layer: Int) {
        if let block = layers[layer].block { workspace.buffers.give(block.buffer) }
        if let kv = layers[layer].kv { workspace.buffers.give(kv.buffer) }
        if let derived = layers[layer].derived { workspace.buffers.give(derived) }
        layers[layer].block = nil
        layers[layer].kv = nil
        layers[layer].derived = nil
    }

    private func releaseFinal() {
        if let final { workspace.buffers.give(final.buffer) }
        final = nil
        recordedFinal.removeAll()
    }
}
