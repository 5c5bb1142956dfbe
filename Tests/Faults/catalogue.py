"""Hand-made faults, each of which some test must catch.

A fault replaces one expression or statement of one source file. `place` is a text that occurs once in the file, in which
`⟦` and `⟧` mark what is replaced by `faulty`; `tests` is the filter of the tests that must fail, as `swift test --filter`
takes it. `Tests/Faults/run.py` makes, runs and checks them.
"""
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    name: str
    # What the program then does wrong, as docs/laws.md says it.
    says: str
    file: str
    place: str
    faulty: str
    tests: str
    # Whether a statement is replaced, not an expression.
    statement: bool = False


MEMORY = "Sources/Simulator/Memory/"
SERVING = "Sources/Simulator/Serving/"
TRAINING = "Sources/Simulator/Training/"
LOOP = "Sources/Simulator/Loop/"
KERNELS = "Sources/Engine/Kernels/"
TRANSFORMER = "Sources/Engine/Transformer/"
MEASURED = "Sources/MeasuredBackend/"
METRICS = "Sources/Results/Metrics/"

FAULTS = [
    # KV blocks, prefix cache and admission.
    Fault("block-count", "a block too many where tokens fill theirs exactly", MEMORY + "KVPool.swift",
          "public func blockCount(for tokens: Int) -> Int { ⟦(tokens + blockTokens - 1) / blockTokens⟧ }",
          "tokens / blockTokens + 1", "SimulatorTests.KVPoolTests"),
    Fault("reference-kept", "a shared block's reference is not given back", MEMORY + "KVPool.swift",
          "⟦blocks[id].sequences -= 1⟧\n",
          "blocks[id].sequences -= blocks[id].sequences > 1 ? 0 : 1", "SimulatorTests.KVPoolTests", statement=True),
    Fault("hash-without-parent", "a block's hash leaves out the blocks before it", SERVING + "PrefixHashes.swift",
          "absorb(positions, of: request, into: &hash)\n            }\n            ⟦return hash⟧",
          "defer { hash = BlockHash() }; return hash", "SimulatorTests.PrefixCacheTests", statement=True),
    Fault("version-not-in-key", "blocks of older weights are found in the prefix cache", MEMORY + "BlockHash.swift",
          "⟦scope.version ?? -1⟧", "-1", "SimulatorTests.PrefixCacheTests"),
    Fault("evicts-newest", "the prefix cache evicts the block used last", MEMORY + "PrefixCache.swift",
          "let id = ⟦oldest⟧\n        forget(id)", "newest", "SimulatorTests.KVPoolTests"),
    Fault("watermark", "requests are admitted below the watermark", SERVING + "Scheduler+Admission.swift",
          "memory.availableBlocks - taken - promised - blocks >= ⟦watermark(memory)⟧", "0",
          "SimulatorTests.PreemptionTests"),
    Fault("promise-forgotten", "blocks promised to a returning sequence are given away",
          SERVING + "Scheduler+Admission.swift", "promise(slot, ⟦whole - blocks⟧)", "0", "SimulatorTests.SchedulerTests"),
    Fault("preempted-loses-tokens", "a preempted request is prefilled without what it had generated",
          SERVING + "Scheduler+Preemption.swift",
          "sequences[slot].prefillEnd = ⟦sequences[slot].promptTokens + sequences[slot].generated⟧",
          "sequences[slot].promptTokens", "SimulatorTests.PreemptionTests"),
    Fault("budget", "decoded tokens do not count towards the token budget", SERVING + "Scheduler+Planning.swift",
          "emitsToken: true))\n                ⟦budget -= 1⟧", "budget -= 0", "SimulatorTests.SchedulerTests", statement=True),
    Fault("decode-pairs", "a decoded token does not attend to itself", SERVING + "Scheduler+DecodingAhead.swift",
          "pairs += ⟦sequences[slot].computed + 1⟧", "sequences[slot].computed", "SimulatorTests.DecodingStretchTests"),

    # Time, links and books.
    Fault("event-order", "events of one time are handled in no order of priority", "Sources/Simulator/Core/EventQueue.swift",
          "(a.time.nanoseconds, ⟦a.priority⟧, a.sequence)", "b.priority", "SimulatorTests.EventQueueTests"),
    Fault("free-copy", "a copy takes no time", MEMORY + "CopyEngine.swift",
          "nanoseconds: latency.nanoseconds + ⟦Int64(moving)⟧", "Int64(moving) * 0", "SimulatorTests.CopyEngineTests"),
    Fault("copied-too-early", "a layer's copy starts before the layer has run", MEMORY + "MemorySystem+Records.swift",
          "let share = quotient * ⟦Int64(layer + 1)⟧ +", "Int64(layer)", "SimulatorTests.OffloadTests"),
    Fault("copied-twice", "a record that the host has is copied again", MEMORY + "RecordStore+Copies.swift",
          "let pieces = ⟦LayerSet(job.layers).intersection(chunk.onDevice).subtracting(chunk.hostRoom)⟧",
          "LayerSet(job.layers).intersection(chunk.onDevice)", "SimulatorTests.OffloadTests"),
    Fault("reload-order", "layers come back from the first to the last", TRAINING + "ReloadPlan.swift",
          "activations = ⟦(0...layers).reversed()⟧.map", "(0...layers).map { $0 }", "SimulatorTests.ReloadPlanTests"),
    Fault("host-not-freed", "a record that leaves the host stays in the books", MEMORY + "RecordStore+Copies.swift",
          "if chunk.hostRoom[layer] {\n            ⟦ledger.release(bytes(of: chunk, layer: layer, part: .all), of: .recorded, "
          "on: .host)⟧", "_ = layer", "SimulatorTests.GivingWayTests|SimulatorTests.OffloadTests", statement=True),
    Fault("released-twice", "device copies are released twice in the ledger", MEMORY + "RecordStore+Copies.swift",
          "⟦ledger.release(bytes(of: chunk, pieces, part: .activations), of: .recorded, on: .device)⟧",
          "for _ in 0..<2 { ledger.release(bytes(of: chunk, pieces, part: .activations), of: .recorded, on: .device) }",
          "SimulatorTests.OffloadTests", statement=True),
    Fault("shared-consumed", "a chunk that others share goes with its first sample", MEMORY + "RecordStore.swift",
          "$0.consuming = ⟦uses >= $0.references⟧", "true", "SimulatorTests.SharedRecordTests"),
    Fault("records-not-admitted", "a micro-batch is let through without room for its records that lie on the device",
          LOOP + "Simulation+Admission.swift",
          "let recorded = ⟦hasTrainerDevice ? Bytes.zero : memory.bytesOnDevice(of: open.chunks.map(\\.id))⟧",
          "Bytes.zero", "SimulatorTests.MicroBatchAdmissionTests"),
    Fault("trainer-device-uncounted", "memory of the trainer's own device is no training memory", MEMORY + "Ledger.swift",
          "case .trainerDevice: ⟦true⟧", "false", "SimulatorTests.LedgerTests|SimulatorTests.PlacementTests"),
    Fault("priced-below-floor", "memory traffic is left out of the physical floor",
          "Sources/Simulator/Modelled/PhysicalLimits.swift",
          "Double(op.count) * ⟦max(op.flops / flopsPerSecond, floor(bytes: op.bytes))⟧",
          "op.flops / flopsPerSecond", "SimulatorTests.(ModelledBackendTests|PricingTests|AcceleratorTests)"),

    # Learning while serving.
    Fault("stale-by-newest", "`exact` looks at a record's newest version, not at its oldest",
          TRAINING + "TrainingConfiguration.swift",
          "return ⟦interval.lowerBound⟧ >= allowed.lowerBound", "interval.upperBound", "SimulatorTests.TrainerTests"),
    Fault("stale-used", "stale records are used under `exact`", TRAINING + "Trainer.swift",
          "if configuration.reuse, ⟦configuration.staleness.accepts(chunk.versions, at: version)⟧", "true",
          "SimulatorTests.TrainerTests"),
    Fault("record-forgets-kv", "a record's version leaves out the older K and V that it attended to",
          LOOP + "Simulation+Recording.swift", "let oldest = ⟦min(sequence.oldestKV ?? servedVersion, servedVersion)⟧",
          "servedVersion", "SimulatorTests.ServingPropertyTests"),
    Fault("free-publish", "weights reach a separate server in no time", LOOP + "Simulation+Publishing.swift",
          "at: ⟦now + duration⟧, priority: 1)", "now", "SimulatorTests.PlacementTests"),
    Fault("version-not-published", "serving goes on with the version it had", LOOP + "Simulation+Publishing.swift",
          "⟦servedVersion = version⟧\n        scopePrefixCache()", "_ = version",
          "SimulatorTests.(SimulationTests|PlacementTests)", statement=True),
    Fault("feedback-at-once", "feedback comes without its delay", LOOP + "Simulation+Serving.swift",
          "events.schedule(.feedback(index), at: ⟦now + feedback.delay⟧, priority: 3)", "now",
          "SimulatorTests.SimulationTests"),
    Fault("no-think-time", "the next turn comes without its think time", LOOP + "Simulation+Serving.swift",
          "let sent = max(trace.requests[next].arrival, ⟦now + trace.requests[next].thinkTime⟧)", "now",
          "SimulatorTests.SimulationTests"),
    Fault("loss-one-late", "the first answer token carries no loss", TRAINING + "Sample.swift",
          "0..<end : ⟦promptTokens - 1⟧..<end", "min(promptTokens, end)", "SimulatorTests.(SampleTests|SampleSequenceTests)"),

    # The engine.
    Fault("causal-mask", "a query sees one position after its own", KERNELS + "Attention.swift",
          "let visible = ⟦min(count, position + 1 - start)⟧", "min(count, position + 2 - start)",
          "EngineTests.OperatorTests"),
    Fault("head-mapping", "query heads go to the wrong head of K and V", KERNELS + "Attention.swift",
          "let token = tokens.lowerBound + row / group\n            let head = ⟦kvHead * group + row % group⟧",
          "kvHead + row % group * shape.kvHeads", "EngineTests.OperatorTests"),
    Fault("softmax-slope", "softmax's gradient lacks the term that it subtracts", KERNELS + "Attention+Backward.swift",
          "projections[row][head] = ⟦Vector.dot(dOutput[row] + head * d, o[row] + head * d, d)⟧", "0",
          "EngineTests.OperatorTests"),
    Fault("norm-epsilon", "the norm's epsilon is left out", KERNELS + "RMSNorm.swift",
          "Float(width) + ⟦epsilon⟧)", "0", "EngineTests.OperatorTests"),
    Fault("norm-gradient", "the norm's gradient lacks the term along its input", KERNELS + "RMSNorm.swift",
          "let along = ⟦-projection * inverse * inverse * inverse / Float(width)⟧", "0", "EngineTests.OperatorTests"),
    Fault("rope-gradient", "gradients are turned on instead of back", KERNELS + "RotaryEmbedding.swift",
          "self.turn(place, to: place, position, sign: ⟦-1⟧)", "1", "EngineTests.OperatorTests"),
    Fault("reused-positions", "tokens that run behind recorded ones are taken for those one position before",
          TRANSFORMER + "Packing.swift",
          "Int32(truncatingIfNeeded: ⟦start + token⟧)",
          "start + token - (isFresh && (ranges.first?.lowerBound ?? 0) > 0 ? 1 : 0)", "EngineTests.LawTests"),
    Fault("lora-scale", "adapters are added without their scale", TRANSFORMER + "LoRA.swift",
          "y.columns(from: member.columns.lowerBound, count: member.columns.count),\n                scale: ⟦scale⟧,", "1",
          "EngineTests.OperatorTests|EngineTests.GoldenTests"),
    Fault("bias-gradient", "biases get no gradient", TRANSFORMER + "TrainingPass+Backward.swift",
          "if let bias = gradients.bias { ⟦ColumnSum.add(dProjected, to: bias, pool: pool)⟧ }", "_ = bias",
          "EngineTests.GoldenTests", statement=True),
    Fault("bias-correction", "AdamW's first moment is not corrected for its start", KERNELS + "AdamW.swift",
          "Float(learningRate / ⟦(1 - pow(Double(beta1), Double(step)))⟧)", "1", "EngineTests.OptimizerTests"),
    Fault("decays-norms", "weight decay takes norms and biases, too", TRANSFORMER + "Optimizer.swift",
          "for parameter in state.table.parameters where ⟦parameter.decays == decays⟧", "decays",
          "EngineTests.OptimizerTests"),
    Fault("preference-sign", "the reference model's preference is added instead of subtracted",
          TRANSFORMER + "PreferenceLoss.swift",
          "* ⟦(scores[pair.chosen] - scores[pair.rejected] - reference[pair.chosen] + reference[pair.rejected])⟧",
          "(scores[pair.chosen] - scores[pair.rejected] + reference[pair.chosen] - reference[pair.rejected])",
          "EngineTests.ObjectiveTests"),
    Fault("byte-order", "bfloat16 of checkpoints is read in the wrong byte order", KERNELS + "FloatConversion.swift",
          "let bits = UInt32(⟦x.loadUnaligned(fromByteOffset: 2 &* index, as: UInt16.self)⟧) &<< 16",
          "x.loadUnaligned(fromByteOffset: 2 &* index, as: UInt16.self).byteSwapped",
          "EngineTests.(CheckpointTests|ConversionTests)"),

    # The measured backend.
    Fault("loss-mean", "the loss is the mean over the micro-batch, not over the step",
          MEASURED + "MeasuredBackend+Objectives.swift",
          "case .sft: 1 / Float(⟦microBatch.stepLossTokens⟧)",
          "microBatch.sequences.reduce(0) { $0 + $1.lossTokens.count }", "MeasuredBackendTests.StepMeanTests"),
    Fault("group-weights", "weights of a group are not divided by the step's tokens",
          MEASURED + "MeasuredBackend+Objectives.swift",
          "case .group: ⟦Float(plan.weight) / Float(microBatch.stepLossTokens)⟧", "Float(plan.weight)",
          "MeasuredBackendTests.StepMeanTests"),
    Fault("gradients-kept", "gradients of one step are added to those of the next", MEASURED + "MeasuredBackend+Training.swift",
          "⟦gradients.buffer.floats[parameters].update(repeating: 0)⟧", "_ = parameters",
          "MeasuredBackendTests.MeasuredSimulationTests", statement=True),
    Fault("swap-loses-row", "a swapped block comes back without its last token", MEASURED + "RecordArena.swift",
          "block.copy(copy, rows: ⟦blockTokens⟧)\n                hostKV", "blockTokens - 1",
          "MeasuredBackendTests.MeasuredServingTests"),
    Fault("copy-on-write", "a block copied on write lacks the last shared token", MEASURED + "RecordArena.swift",
          "try block(target).copy(try block(source), rows: ⟦tokens⟧)", "tokens - 1",
          "MeasuredBackendTests.MeasuredServingTests"),
    Fault("reloaded-rows", "K and V that came back are read from their chunk's first row", MEASURED + "RecordArena+Copies.swift",
          "let row = ⟦span.tokens.lowerBound - chunk.tokens.lowerBound⟧\n", "0",
          "MeasuredBackendTests.ObjectiveSimulationTests"),

    # Reading, figures and files.
    Fault("last-line", "the last line of a file is dropped if nothing ends it",
          "Sources/Simulator/Workload/Reading/LineFile.swift",
          "guard ⟦!rest.isEmpty⟧ else { return nil }", "false", "SimulatorTests.(TraceReaderTests|TraceImportTests)"),
    Fault("first-token-from", "TTFT counts from the trace's arrival, not from when a turn could be sent",
          METRICS + "ServingSummary.swift",
          "firstTokens.append(first - ⟦arrival⟧)", "request.arrival", "ResultsTests.SummaryTests"),
    Fault("quantile", "percentiles are off by a rank", METRICS + "Distribution.swift",
          "let position = ⟦Double(values.count - 1)⟧ * p / 100", "Double(values.count)", "ResultsTests.PercentileTests"),
    Fault("batch-means", "confidence intervals take the variance of a population", METRICS + "BatchMeans.swift",
          "/ ⟦Double(batches - 1)⟧\n", "Double(batches)", "ResultsTests.SummaryTests"),
    Fault("busy-without-stall", "waiting for reloads is not busy time", METRICS + "TrainingSummary.swift",
          "public var busy: SimDuration { ⟦time.total + stall⟧ }", "time.total", "ResultsTests.SummaryTests"),
    Fault("mixed-repeats", "a ratio is taken between different repeats", METRICS + "Comparison.swift",
          "candidate: ⟦candidate.repeats[index]⟧,", "candidate.repeats[0]", "ResultsTests.ComparisonTests"),
    Fault("mixed-arms", "the reference of latencies is the baseline", METRICS + "Comparison.swift",
          "reference: ⟦reference?.repeats[index]⟧)", "baseline.repeats[index]", "ResultsTests.ComparisonTests"),
    Fault("swapped-column", "the results file has predicted durations as measured ones",
          "Sources/Results/Schema/Schema+Arms.swift",
          r'.duration("duration", "how long it held it", ⟦\.duration⟧)', r"\.predicted",
          "ResultsTests.ResultsFileTests"),
    Fault("cells-of-seeds", "a merged sweep takes seeds for its innermost axis", "Sources/Results/Merge/MergedSweep.swift",
          "(0..<seeds).map { ⟦(high * seeds + $0) * inner + low⟧ }", "(high * inner + low) * seeds + $0",
          "ResultsTests.MergeTests"),
    Fault("random-streams", "streams of random numbers do not depend on their names",
          "Sources/Simulator/Core/RandomStream.swift",
          "var mixer = ⟦seed ^ hash⟧", "seed", "SimulatorTests.RandomStreamTests"),
    Fault("units", "a GiB is a GB", "Sources/AlchemistSim/Scenario/Quantity.swift",
          '("GiB", ⟦0x1p30⟧)', "1e9", "AlchemistSimTests.ScenarioTests"),
]
