internal import Glibc

/// Forward, loss and backward of one micro-batch, in units that the caller orders and interrupts at will.
///
/// For a model of L layers: `forward(layer, rows)` for layers 0..<L over the fresh rows, in ascending row ranges per
/// layer; `loss(rows)` over the loss rows; `backward(layer, rows)` for layers L-1...0 over all packed rows, in descending
/// row ranges per layer, each followed by `finishedBackward(layer)`. Gradients are added to `gradients`.
///
/// Recorded positions skip the forward pass. Their K and V must be attached before a layer's forward pass and stay until
/// its backward pass is done; their activations before its backward pass; their final norm input, where they carry loss,
/// before `loss`. The caller keeps attached K and V alive; attached blocks are held until detached.
///
/// Wrong order, missing attachments and wrong shapes are programmer errors and trap.
public final class TrainingPass {
    public let config: ModelConfig
    public let tuning: TuningMode
    public let packing: Packing
    /// Longest row range of one unit, forward or backward.
    public let unitRows: Int
    let workspace: TrainingWorkspace
    let parameters: ModelParameters
    let gradients: GradientBuffer
    var layers: [LayerState]
    var final: FinalBlock?
    var recordedFinal: [(rows: Range<Int>, block: FinalBlock, row: Int)] = []
    /// Gradient of the residual stream [packed rows, hidden], then of K and V [packed rows, 2 keyWidth].
    let stream: UnsafeMutablePointer<Float>

    /// What a layer holds: the pass's own activations of fresh rows, and what was attached.
    struct LayerState {
        var block: ActivationBlock?
        var kv: KVBlock?
        var recordedKV: [[KVSegment]]
        var recorded: [(rows: Range<Int>, block: ActivationBlock, row: Int)] = []
        /// Fresh rows done forward.
        var forwardEnd = 0
        /// Packed rows from here on are done backward.
        var backwardStart: Int
    }

    /// A pass at `parameters`; in LoRA mode they include the adapters trained.
    ///
    /// Scratch is made for units of at most `unitRows` rows, by default the workspace's, which is also the most.
    public init(
        _ workspace: TrainingWorkspace, parameters: ModelParameters, sequences: [TrainingSequence],
        gradients: GradientBuffer, unitRows: Int? = nil
    ) {
        precondition(
            parameters.weights.config == workspace.config && gradients.config == workspace.config,
            "workspace, weights and gradients belong to different models")
        if case .lora(let lora) = gradients.tuning {
            precondition(parameters.adapters?.lora == lora, "the adapters do not match the gradients")
        } else {
            precondition(parameters.adapters == nil, "full tuning trains the weights without adapters")
        }
        self.unitRows = unitRows ?? workspace.unitRows
        precondition(
            self.unitRows > 0 && self.unitRows <= workspace.unitRows,
            "a unit has at least one row, and at most the workspace's \(workspace.unitRows)")
        self.workspace = workspace
        self.parameters = parameters
        self.gradients = gradients
        config = workspace.config
        tuning = gradients.tuning
        packing = Packing(sequences)
        precondition(packing.rowCount > 0, "a micro-batch needs sequences")
        precondition(
            sequences.allSatisfy { $0.tokens.count <= workspace.config.maxContext }, "longer than the model's context")
        let known = 0..<Int32(workspace.config.vocabulary)
        precondition(
            packing.tokens.allSatisfy(known.contains) && packing.lossTargets.allSatisfy(known.contains),
            "token ids and targets must be below \(workspace.config.vocabulary)")
        let rows = packing.rowCount
        layers = Array(
            repeating: LayerState(recordedKV: sequences.map { _ in [] }, backwardStart: rows),
            count: workspace.config.layers)
        stream = workspace.stream.reserve(rows * TrainingWorkspace.streamFloatsPerRow(workspace.config))
        memset(stream, 0, rows * workspace.config.hidden * MemoryLayout<Float>.stride)
    }

    /// Gives back what the pass still holds, as when it is abandoned half-way.
    deinit {
        for index in layers.indices { releaseBlocks(of: index) }
        releaseFinal()
    }

    /// Bytes of activations, K and V of fresh rows held now.
    public var activationByteCount: Int {
        layers.reduce(final?.byteCount ?? 0) { $0 + ($1.block?.byteCount ?? 0) + ($1.kv?.byteCount ?? 0) }
    }

    // MARK: Attaching what serving recorded

    /// Attaches K and V of recorded positions, those of the segment.
    public func attachKV(layer: Int, sequence: Int, _ segment: KVSegment) {
        layers[layer].recordedKV[sequence].append(segment)
    }

    /// Attaches the activations of recorded `positions`, from row `row` of `block` on.
    public func attachActivations(
        layer: Int, sequence: Int, positions: Range<Int>, _ block: ActivationBlock, row: Int = 0
    ) {
        precondition(row >= 0 && row + positions.count <= block.rows, "the block does not hold these positions")
        layers[layer].recorded.append((packed(positions, of: sequence), block, row))
    }

    /// Attaches the final norm's input of recorded `positions`, from row `row` of `block` on.
    public func attachFinal(sequence: Int, positions: Range<Int>, _ block: FinalBlock, row: Int = 0) {
        precondition(row >= 0 && row + positions.count <= block.rows, "the block does not hold these positions")
        recordedFinal.append((packed(positions, of: sequence), block, row))
    }

    /// Lets go of everything attached to a layer.
    public func detach(layer: Int) {
        layers[layer].recorded.removeAll()
        for sequence in layers[layer].recordedKV.indices { layers[layer].recordedKV[sequence].removeAll() }
    }

    /// Frees the layer's own activations, and detaches what was attached to it; call it when all its rows are done
    /// backward.
    public func finishedBackward(layer: Int) {
        precondition(layers[layer].backwardStart == 0, "layer \(layer) has rows left")
        releaseBlocks(of: layer)
        detach(layer: layer)
        if layer == config.layers - 1 { releaseFinal() }
    }

    private func packed(_ positions: Range<Int>, of sequence: Int) -> Range<Int> {
        let start = packing.starts[sequence]
        precondition(start + positions.upperBound <= packing.starts[sequence + 1], "positions beyond the sequence")
        return start + positions.lowerBound..<start + positions.upperBound
    }

    // MARK: Own blocks

    /// Makes room for all that the pass keeps and computes with, so that no unit of work has to. Without it room is made
    /// when it is first needed.
    public func reserve() {
        _ = unitMemory()
        workspace.layer.reserve(rows: min(unitRows, packing.rowCount), tuning.lora)
        workspace.layer.attention.reserve(backward: true)
        _ = workspace.lossMemory.reserve(workspace.lossChunk * TrainingWorkspace.lossFloatsPerRow(config))
        guard !packing.freshRows.isEmpty else { return }
        for layer in layers.indices {
            _ = ownBlock(layer)
            _ = ownKV(layer)
        }
        _ = ownFinal()
    }

    /// Scratch of a backward unit.
    func unitMemory() -> UnsafeMutablePointer<Float> {
        workspace.unit.reserve(
            min(unitRows, packing.rowCount) * TrainingWorkspace.unitFloatsPerRow(config, tuning))
    }

    /// The layer's block for fresh rows, made when first needed: by the layer below, which writes its input.
    func ownBlock(_ layer: Int) -> ActivationBlock {
        if let block = layers[layer].block { return block }
        let rows = packing.freshRows.count
        let buffer = workspace.buffers.take(rows * ActivationBlock.floatsPerToken(config))
        let block = ActivationBlock(config, rows: rows, buffer: buffer)
        layers[layer].block = block
        return block
    }

    func ownKV(_ layer: Int) -> KVBlock {
        if let kv = layers[layer].kv { return kv }
        let rows = packing.freshRows.count
        let buffer = workspace.buffers.take(rows * 2 * config.keyWidth)
        let kv = KVBlock(config, capacity: rows, layers: 1, buffer: buffer)
        layers[layer].kv = kv
        return kv
    }

    func ownFinal() -> FinalBlock {
        if let final { return final }
        let rows = packing.freshRows.count
        let block = FinalBlock(config, rows: rows, buffer: workspace.buffers.take(rows * config.hidden))
        final = block
        return block
    }

    private func releaseBlocks(of layer: Int) {
        if let block = layers[layer].block { workspace.buffers.give(block.buffer) }
        if let kv = layers[layer].kv { workspace.buffers.give(kv.buffer) }
        layers[layer].block = nil
        layers[layer].kv = nil
    }

    private func releaseFinal() {
        if let final { workspace.buffers.give(final.buffer) }
        final = nil
        recordedFinal.removeAll()
    }

    /// K and V of a sequence at a layer, recorded and fresh, in order of position.
    func segments(layer: Int, sequence: Int) -> [KVSegment] {
        var segments = layers[layer].recordedKV[sequence]
        let runs = packing.freshRuns[sequence]
        if !runs.isEmpty {
            let kv = ownKV(layer)
            for run in runs {
                segments.append(
                    kv.segment(layer: 0, row: run.row, start: run.positions.lowerBound, count: run.positions.count))
            }
        }
        return segments.sorted { $0.start < $1.start }
    }
}
