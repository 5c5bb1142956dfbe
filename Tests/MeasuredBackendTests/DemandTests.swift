import Engine
import MeasuredBackend
import Simulator
import Testing

/// What the simulator's ledger reserves is what the engine allocates.
@Suite struct DemandTests {
    static let tunings: [Tuning] = [
        .full, .lora(rank: 8, alpha: 16, targets: Simulator.Projection.allCases),
        .lora(rank: 3, alpha: 16, targets: [.query, .value]),
        .lora(rank: 5, alpha: 16, targets: [.up, .down, .output]),
    ]
    static let variants: [ModelConfig] = {
        let nano = ModelConfig.presets[0]
        var untied = nano
        untied.tiedHead = false
        var biased = nano
        biased.qkvBias = true
        return ModelConfig.presets + [untied, biased]
    }()

    private static func demand(_ config: ModelConfig, _ tuning: Tuning, threads: Int = 2) -> MeasuredDemand {
        var configuration = ArmConfiguration()
        configuration.training.tuning = tuning
        configuration.serving.maxBatch = 13
        return MeasuredDemand(config, MeasuredOptions(configuration), threads: threads)
    }

    @Test(arguments: variants, tunings) func staticOwnersAreTheEnginesBytes(config: ModelConfig, tuning: Tuning) {
        let footprint = Self.demand(config, tuning).footprint
        let mode = TuningMode(tuning)
        let adapters = mode.lora.map { Adapters.byteCount(config, $0) } ?? 0
        #expect(footprint.weights.count == Weights.byteCount(config) + adapters)
        #expect(footprint.adapters.count == adapters)
        #expect(footprint.gradients.count == GradientBuffer.byteCount(config, mode))
        #expect(footprint.optimizer.count == OptimizerState.byteCount(config, mode))
        // In full tuning the trainer writes weights of its own.
        #expect(footprint.publishBuffer.count == (tuning == .full ? Weights.byteCount(config) : 0))
    }

    static let checkpointings = Checkpointing.allCases
    static let recordPlans = Simulator.SavePlan.allCases.map { LayerPlans($0) }

    @Test(arguments: variants, recordPlans) func recordsAndKVAreTheEnginesBytes(config: ModelConfig, plan: LayerPlans) {
        for rows in [1, 7, 256] {
            for finalRows in [0, 1, rows] {
                var footprint = Self.demand(config, .full).footprint
                footprint.plans.recorded = plan
                let kv = KVBlock.byteCount(config, capacity: rows, layers: 1)
                #expect((footprint.kvPerTokenPerLayer * rows).count == kv)
                #expect((footprint.kvPerToken * rows).count == config.kvByteCountPerToken * rows)
                #expect((footprint.finalPerToken * rows).count == FinalBlock.byteCount(config, rows: rows))
                let sizes = footprint.recordSizes
                #expect(sizes.layers == config.layers && sizes.finalPerToken == footprint.finalPerToken)
                #expect(sizes.kvPerToken == footprint.kvPerTokenPerLayer)
                for layer in [0, config.layers - 1] {
                    let block = ActivationBlock.byteCount(
                        config, rows: rows, queryRows: layer < config.layers - 1 ? rows : finalRows,
                        plan: Engine.SavePlan(plan[layer]))
                    #expect(sizes.activations(layer: layer, tokens: rows, finalRows: finalRows).count == block)
                }
            }
        }
    }

    /// Pieces that are rounded, and copies of K and V; K and V in blocks stay as they are.
    @Test(arguments: variants, recordPlans)
    func roundedRecordsAreTheEnginesBytes(config: ModelConfig, plan: LayerPlans) {
        for (precision, narrow) in [(PiecePrecision.bf16, NarrowPrecision.bf16), (.int8, .int8)] {
            var footprint = Self.demand(config, .full).footprint
            let kvPerToken = footprint.kvPerToken
            footprint.plans = SavePlans(recorded: plan, precision: precision)
            let sizes = footprint.recordSizes
            #expect(footprint.kvPerToken == kvPerToken && sizes.cachedKVPerToken * config.layers == kvPerToken)
            for (rows, finalRows) in [(1, 0), (7, 1), (256, 256)] {
                let kv = NarrowLayout.keysAndValues(config, rows: rows, narrow).byteCount
                #expect((sizes.kvPerToken * rows).count == kv)
                let final = NarrowLayout.final(config, rows: rows, narrow).byteCount
                #expect((sizes.finalPerToken * rows).count == final)
                for layer in [0, config.layers - 1] {
                    let block = NarrowLayout.activations(
                        config, rows: rows, queryRows: layer < config.layers - 1 ? rows : finalRows,
                        plan: Engine.SavePlan(plan[layer]), narrow)
                    #expect(
                        sizes.activations(layer: layer, tokens: rows, finalRows: finalRows).count == block.byteCount)
                }
            }
        }
        // Nothing is wider than it was computed.
        var footprint = Self.demand(config, .full).footprint
        footprint.plans = SavePlans(recorded: plan, precision: .fp32)
        let fp32 = footprint.recordSizes
        footprint.plans.precision = .own
        #expect(footprint.recordSizes == fp32)
    }

    @Test(arguments: variants, checkpointings)
    func ownActivationsAreTheEnginesBytes(config: ModelConfig, checkpointing: Checkpointing) {
        var footprint = Self.demand(config, .full).footprint
        footprint.plans.checkpointing = checkpointing
        let own = PassPlan(footprint.plans, layers: config.layers)
        for (rows, lossRows) in [(1, 0), (1, 1), (256, 20)] {
            var sum = lossRows > 0 ? FinalBlock.byteCount(config, rows: lossRows) : 0
            for layer in 0..<config.layers {
                let bytes = TrainingWorkspace.activationByteCount(
                    config, rows: rows, queryRows: layer < config.layers - 1 ? rows : lossRows, plan: own)
                let booked = footprint.trainActivations(layer: layer, freshRows: rows, freshLossRows: lossRows)
                #expect(booked.count == bytes)
                sum += bytes
            }
            #expect(footprint.trainActivations(freshRows: rows, freshLossRows: lossRows).count == sum)
        }
    }

    @Test(arguments: checkpointings, recordPlans + [LayerPlans(layers: [.boundary, .lean])])
    func recomputedBytesAreTheEngines(checkpointing: Checkpointing, plan: LayerPlans) {
        let config = ModelConfig.presets[0]
        var footprint = Self.demand(config, .full).footprint
        footprint.plans = SavePlans(checkpointing: checkpointing, recorded: plan)
        for (recorded, lossTokens) in [
            ([], 5..<20), ([0..<9], 5..<20), ([0..<4, 10..<20], 0..<20), ([0..<20], 19..<20),
        ] {
            let sequence = TrainingSequencePlan(
                request: 0, promptTokens: 20, lossTokens: lossTokens,
                recorded: recorded.map {
                    RecordedSpan(chunk: ChunkID(slot: 0, generation: 0), tokens: $0, versions: 0...0)
                })
            let batch = MicroBatch(id: 0, version: 0, sequences: [sequence, sequence], stepLossTokens: 1)
            let engine = TrainingWorkspace.recomputeByteCount(
                config, PassPlan(footprint.plans, layers: config.layers), PassRows(batch))
            #expect(footprint.recomputed(in: batch).count == engine)
        }
    }

    @Test(arguments: variants, tunings) func workspacesAreTheEnginesBytes(config: ModelConfig, tuning: Tuning) {
        let mode = TuningMode(tuning)
        for threads in [1, 4] {
            let demand = Self.demand(config, tuning, threads: threads)
            for (rows, unitRows) in [(1, 1), (50, 16), (300, 300)] {
                let plan = TrainingSequencePlan(
                    request: 0, promptTokens: rows, lossTokens: rows - 1..<rows,
                    recorded: [])
                let batch = MicroBatch(id: 0, version: 0, sequences: [plan], stepLossTokens: 1)
                // The measured backend takes the loss in chunks of 64 rows.
                let expected = TrainingWorkspace.byteCount(
                    config, mode, rows: rows, unitRows: unitRows, lossChunk: 64, threads: threads)
                #expect(demand.trainWorkspace(for: batch, unitRows: unitRows).count == expected)
                let serving = Transformer.workspaceByteCount(
                    config, lora: mode.lora, rows: rows, logits: 13, threads: threads)
                #expect(demand.servingWorkspace(tokens: rows).count == serving)
            }
        }
    }

    /// The sizes that the engine tells without allocating are those it allocates.
    @Test(arguments: tunings) func theEngineAllocatesWhatItSays(tuning: Tuning) {
        let config = ModelConfig.presets[0]
        let mode = TuningMode(tuning)
        #expect(Weights(zeros: config).byteCount == Weights.byteCount(config))
        let gradients = GradientBuffer(config, mode)
        #expect(gradients.byteCount == GradientBuffer.byteCount(config, mode))
        #expect(OptimizerState(gradients.table).byteCount == OptimizerState.byteCount(config, mode))
        if let lora = mode.lora {
            #expect(Adapters(config, lora, seed: 0).byteCount == Adapters.byteCount(config, lora))
        }
        for rows in [1, 33] {
            #expect(ActivationBlock(config, rows: rows).byteCount == ActivationBlock.byteCount(config, rows: rows))
            #expect(FinalBlock(config, rows: rows).byteCount == FinalBlock.byteCount(config, rows: rows))
            #expect(
                KVBlock(config, capacity: rows).byteCount
                    == KVBlock.byteCount(config, capacity: rows, layers: config.layers))
        }
    }
}
