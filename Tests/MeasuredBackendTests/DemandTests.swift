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

    @Test(arguments: variants, [1, 7, 256]) func recordsAndKVAreTheEnginesBytes(config: ModelConfig, rows: Int) {
        let footprint = Self.demand(config, .full).footprint
        let activations = ActivationBlock.byteCount(config, rows: rows)
        let kv = KVBlock.byteCount(config, capacity: rows, layers: 1)
        let final = FinalBlock.byteCount(config, rows: rows)
        #expect((footprint.activationsPerTokenPerLayer * rows).count == activations)
        #expect((footprint.kvPerTokenPerLayer * rows).count == kv)
        #expect((footprint.kvPerToken * rows).count == config.kvByteCountPerToken * rows)
        #expect((footprint.finalPerToken * rows).count == final)
        #expect(
            footprint.trainActivationsPerLayer(freshRows: rows).count
                == TrainingWorkspace.activationByteCount(config, rows: rows))
        #expect(footprint.trainActivations(freshRows: rows).count == config.layers * (activations + kv) + final)
        let sizes = footprint.recordSizes
        #expect(sizes.layers == config.layers && sizes.finalPerToken == footprint.finalPerToken)
        #expect(sizes.activationsPerToken + sizes.kvPerToken == footprint.trainActivationsPerLayer(freshRows: 1))
    }

    @Test(arguments: variants, tunings) func workspacesAreTheEnginesBytes(config: ModelConfig, tuning: Tuning) {
        let mode = TuningMode(tuning)
        for threads in [1, 4] {
            let demand = Self.demand(config, tuning, threads: threads)
            for (rows, unitRows) in [(1, 1), (50, 16), (300, 300)] {
                let plan = TrainingSequencePlan(
                    request: 0, promptTokens: rows, responseTokens: 1, edited: false, lossTokens: rows - 1..<rows,
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
