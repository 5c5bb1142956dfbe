internal import Engine
internal import Simulator

/// Finds what to record for an arm: prices a typical step on the arm's hardware under every save plan and hands it to the
/// planner.
struct SavePlanning {
    let model: ModelConfig
    let hardware: Hardware
    /// Of the engine, where the hardware is a machine that runs it.
    let threads: Int

    /// The planner for an arm, with what its records may take.
    ///
    /// - Parameter recordMemory: where records live: on the device without offload, otherwise on the host.
    func planner(for arm: ArmConfiguration, _ workload: PlannedWorkload, recordMemory: Bytes) -> SavePlanner {
        let recorded = microBatch(arm, workload, isRecorded: true)
        let samples = Self.samples(of: arm, workload)
        let step = step(
            arm, recorded, rows: workload.recordedTokens * samples,
            finalRows: samples
                * (arm.training.lossTokens == .all && workload.objective == .sft ? workload.recordedTokens : 1),
            transfers: chunks(of: workload, arm) * samples)
        return SavePlanner(
            step: step, recomputed: recomputed(arm, microBatch(arm, workload, isRecorded: false)),
            allowedBytes: allowedBytes(arm, workload, recordMemory).map {
                $0 * Double(workload.recordedTokens * samples)
            })
    }

    /// Memory that records can have: all of the host, or what the device has left beside everything else that `trace`
    /// needs of it.
    func recordMemory(of arm: ArmConfiguration, _ trace: Trace) -> Bytes {
        guard arm.recording.offload == .none else { return arm.device.hostMemory }
        let machine: Hardware? = if case .machine = hardware { nil } else { hardware }
        let requirement = MemoryRequirement(
            configuration: arm, trace: trace, demand: ArmDemand(model, arm, on: machine, threads: threads))
        return max(.zero, arm.device.usableMemory - requirement.deviceForEveryRequest)
    }

    /// Bytes that a recorded token may take: what memory has for each that is held, and what the link carries of each that
    /// is made, whichever is less.
    private func allowedBytes(_ arm: ArmConfiguration, _ workload: PlannedWorkload, _ memory: Bytes) -> Double? {
        let held = Double(max(0, memory.count)) / max(1, workload.heldTokens)
        guard arm.recording.offload != .none, let rate = workload.recordedTokensPerSecond, rate > 0 else {
            return held
        }
        return min(held, arm.device.linkBandwidth / rate)
    }

    /// Typical samples that a micro-batch takes.
    static func samples(of arm: ArmConfiguration, _ workload: PlannedWorkload) -> Int {
        max(1, min(arm.training.updateEvery, arm.training.microBatchTokens / max(1, workload.sample(0, arm).rows)))
    }

    private func microBatch(_ arm: ArmConfiguration, _ workload: PlannedWorkload, isRecorded: Bool) -> MicroBatch {
        let count = Self.samples(of: arm, workload)
        var sequences: [TrainingSequencePlan] = []
        var lossTokens = 0
        for index in 0..<count {
            let sample = workload.sample(index, arm)
            let record = RecordedSpan(
                chunk: ChunkID(slot: Int32(index), generation: 0), tokens: 0..<workload.recordedTokens, versions: 0...0)
            sequences += sample.sequences(
                isRecorded ? [record] : [], after: sequences.count, arm.training.lossTokens)
            lossTokens += sample.lossCount(arm.training.lossTokens)
        }
        return MicroBatch(
            id: 0, version: 0, sequences: sequences, objective: workload.objective, stepLossTokens: lossTokens,
            stepSamples: count)
    }

    /// Pieces of each layer of a sample: one for each iteration that prefilled a part of it.
    private func chunks(of workload: PlannedWorkload, _ arm: ArmConfiguration) -> Int {
        let budget = max(1, arm.serving.tokenBudget)
        return (workload.recordedTokens + budget - 1) / budget
    }

    private func backend(_ arm: ArmConfiguration, recording plan: Simulator.SavePlan) -> ModelledBackend<ArmDemand> {
        var arm = arm
        arm.recording.plan = LayerPlans(plan)
        return ModelledBackend(
            hardware: hardware, demand: ArmDemand(model, arm, on: hardware, threads: threads))
    }

    /// The units that the trainer would split the micro-batch into, each with its price.
    private func units(
        _ arm: ArmConfiguration, _ microBatch: MicroBatch, on backend: ModelledBackend<ArmDemand>
    ) -> [(unit: TrainerUnit, price: SimDuration)] {
        let planner = Trainer(configuration: arm.training, model: backend.model).planner
        let price = { (unit: TrainerUnit) in
            backend.estimate(.train(TrainerQuantum(microBatch: microBatch, units: [unit])))
        }
        let units =
            planner.units(for: microBatch, plans: backend.footprint.plans, estimate: price).units
            + planner.closingUnits(estimate: price)
        return units.map { ($0, price($0)) }
    }

    private func recomputed(_ arm: ArmConfiguration, _ microBatch: MicroBatch) -> SimDuration {
        units(arm, microBatch, on: backend(arm, recording: .full)).reduce(.zero) { $0 + $1.price }
    }

    /// - Parameters:
    ///   - rows: tokens that records hold. Several answers read the record of their prompt.
    ///   - finalRows: those of which they hold the final norm's input.
    ///   - transfers: that the pieces of one layer take.
    private func step(
        _ arm: ArmConfiguration, _ microBatch: MicroBatch, rows: Int, finalRows: Int, transfers: Int
    ) -> RecordedStep {
        let layerCount = model.layers
        var layers = [RecordedStep.Layer](
            repeating: RecordedStep.Layer(choices: [], forward: .zero, backward: .zero), count: layerCount)
        var (reference, loss, closing) = (SimDuration.zero, SimDuration.zero, SimDuration.zero)
        var sizes = backend(arm, recording: .full).footprint.recordSizes
        for plan in Simulator.SavePlan.allCases {
            let backend = backend(arm, recording: plan)
            sizes = backend.footprint.recordSizes
            var again = [SimDuration](repeating: .zero, count: layerCount)
            for (unit, price) in units(arm, microBatch, on: backend) {
                if case .recompute(let layer, _) = unit { again[layer] += price }
                // All else is the same under every plan.
                guard plan == .full else { continue }
                switch unit {
                case .forward(let layer, _): layers[layer].forward += price
                case .backward(let layer, _): layers[layer].backward += price
                case .reference, .score(_, ofReference: true): reference += price
                case .loss, .score: loss += price
                case .gradientNorm, .optimizer: closing += price
                case .recompute: break
                }
            }
            for layer in layers.indices {
                layers[layer].choices.append(
                    RecordedStep.Choice(
                        plan: plan, bytes: sizes.activations(layer: layer, tokens: rows, finalRows: finalRows),
                        recompute: again[layer]))
            }
        }
        let link = RecordedStep.Link(
            bandwidth: arm.device.linkBandwidth, latency: arm.device.linkLatency,
            transfers: transfers, prefetchLayers: arm.recording.prefetchLayers)
        return RecordedStep(
            layers: layers, kvBytes: sizes.kvPerToken * rows, finalBytes: sizes.finalPerToken * finalRows,
            reference: reference, loss: loss,
            closing: closing, link: arm.recording.offload == .none ? nil : link)
    }
}
