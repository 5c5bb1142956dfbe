import Engine
import MeasuredBackend
import Simulator
import Testing

/// Whole arms on a real, very small transformer: every gradient that comes out of reuse is audited.
@Suite(.serialized) struct MeasuredSimulationTests {
    static let model: ModelConfig = {
        guard let preset = ModelConfig.preset("nano") else { preconditionFailure("the presets have a nano") }
        return preset
    }()

    struct Tokens: TokenIDs {
        let trace: Trace
        let source: TokenSource

        init(_ trace: Trace) {
            self.trace = trace
            source = TokenSource(trace: trace, vocabulary: 512, seed: 5)
        }

        func sequence(of request: Int) -> [Int32] { source.prompt(of: request) + source.output(of: request) }

        func answer(_ number: Int, to request: Int, tokens: Int) -> [Int32] {
            if case .given(let feedback) = trace.requests[request].feedback,
                let ids = feedback.otherAnswers[number - 1].ids
            {
                return ids
            }
            return source.alternative(to: request, number: number, count: tokens)
        }
    }

    static func trace(requests: Int, rate: Double = 300) throws -> Trace {
        var options = TraceGeneratorOptions()
        options.requests = requests
        options.maxContext = 200
        options.scale = 0.1
        options.language.vocabulary = 512
        options.arrivals = .poisson(rate: rate)
        options.meanThinkTime = 0.002
        options.feedback = TraceGeneratorOptions.FeedbackModel(rate: 0.9, meanDelay: 0.005)
        var trace = try TraceGenerator(options).generate()
        // One user in five edits the answer.
        for index in trace.requests.indices where index % 5 == 0 {
            if case .given(var feedback) = trace.requests[index].feedback {
                feedback.signal = .sft(edited: (0..<7).map { Int32(($0 * 31 + index) % 512) })
                trace.requests[index].feedback = .given(feedback)
            }
        }
        return trace
    }

    static func configuration(_ change: (inout ArmConfiguration) -> Void = { _ in }) -> ArmConfiguration {
        var configuration = ArmConfiguration(seed: 3)
        configuration.training.enabled = true
        configuration.training.reuse = true
        configuration.training.auditEvery = 1
        configuration.training.learningRate = 3e-3
        configuration.training.microBatchTokens = 300
        configuration.recording.scope = .prefill
        configuration.serving.tokenBudget = 64
        change(&configuration)
        return configuration
    }

    static func run(
        _ configuration: ArmConfiguration, _ trace: Trace
    ) throws -> (log: ArmLog, backend: MeasuredBackend) {
        let options = MeasuredOptions(configuration)
        let backend = MeasuredBackend(
            engine: EngineContext(model, pool: ThreadPool(width: 2)), profile: .paced, tokens: Tokens(trace),
            options: options)
        let paced = PacedBackend(backend, demand: MeasuredDemand(model, options, threads: 2))
        var simulation = try Simulation(configuration: configuration, trace: trace, backend: paced)
        return (try simulation.run(), backend)
    }

    /// Leaves KV memory for little more than the longest request.
    static func limitKV(_ configuration: inout ArmConfiguration) {
        let perToken = MeasuredDemand(model, MeasuredOptions(configuration), threads: 2).footprint.kvPerToken
        configuration.serving.kvMemory = .bytes(perToken * 224)
        configuration.serving.kvWatermark = 0
    }

    static let paths: [(name: String, change: @Sendable (inout ArmConfiguration) -> Void)] = [
        ("eager offload", { _ in }),
        ("no offload", { $0.recording.offload = .none }),
        ("slow link", { $0.device.linkBandwidth = 3e7 }),
        ("no prefetch", { $0.recording.prefetchLayers = 0 }),
        ("small chunks", { $0.serving.tokenBudget = 9 }),
        ("small quanta", { $0.training.quantumMax = SimDuration(nanoseconds: 60_000) }),
        ("loss on all tokens", { $0.training.lossTokens = .all }),
        (
            "full tuning",
            {
                $0.training.tuning = .full
                $0.training.learningRate = 1e-3
            }
        ),
        (
            "full tuning in quanta that serving comes between",
            {
                $0.training.tuning = .full
                $0.training.quantumMax = SimDuration(nanoseconds: 20_000)
                $0.training.updateEvery = 1
                $0.training.learningRate = 1e-3
            }
        ),
        ("records without gate and up", { $0.recording.plan = LayerPlans(.lean) }),
        (
            "records of inputs, kept on the device",
            {
                $0.recording.plan = LayerPlans(.boundary)
                $0.recording.offload = .none
            }
        ),
        (
            "other plans in other layers, loss on all tokens, full tuning",
            {
                $0.recording.plan = LayerPlans(layers: [.boundary, .lean])
                $0.training.lossTokens = .all
                $0.training.tuning = .full
                $0.training.learningRate = 1e-3
            }
        ),
        ("no checkpointing", { $0.training.checkpointing = .none }),
        ("full checkpointing", { $0.training.checkpointing = .full }),
        (
            "full checkpointing beside lean records in small quanta",
            {
                $0.training.checkpointing = .full
                $0.recording.plan = LayerPlans(.lean)
                $0.training.quantumMax = SimDuration(nanoseconds: 60_000)
                $0.serving.tokenBudget = 9
            }
        ),
        (
            "preemption by recomputing",
            {
                limitKV(&$0)
                $0.recording.offload = .none
            }
        ),
        (
            "preemption by swapping",
            {
                limitKV(&$0)
                $0.serving.preemption = .swap
            }
        ),
        (
            "a prefix cache",
            {
                $0.serving.prefixCache = true
                $0.serving.kvBlockTokens = 4
            }
        ),
        (
            "a prefix cache, what has no record prefilled again",
            {
                $0.serving.prefixCache = true
                $0.serving.kvBlockTokens = 4
                $0.recording.onPrefixHit = .reprefill
            }
        ),
        (
            "a prefix cache across versions, shared records, a step for each sample, small chunks",
            {
                $0.serving.prefixCache = true
                $0.serving.prefixCacheAcrossVersions = true
                $0.serving.kvBlockTokens = 4
                $0.serving.tokenBudget = 24
                $0.training.updateEvery = 1
                $0.recording.scope = .all
            }
        ),
        (
            "a prefix cache across versions, what has no record prefilled again, hedged, full tuning",
            {
                $0.serving.prefixCache = true
                $0.serving.prefixCacheAcrossVersions = true
                $0.serving.kvBlockTokens = 4
                $0.training.tuning = .full
                $0.training.learningRate = 1e-3
                $0.recording.offload = .hedged
                $0.recording.onPrefixHit = .reprefill
            }
        ),
        (
            "a prefix cache across versions, with preemption",
            {
                $0.serving.prefixCache = true
                $0.serving.prefixCacheAcrossVersions = true
                $0.serving.kvBlockTokens = 4
                limitKV(&$0)
            }
        ),
        ("hedged offload", { $0.recording.offload = .hedged }),
        (
            "hedged offload, chunk by chunk, over a slow link",
            {
                $0.recording.offload = .hedged
                $0.recording.granule = .chunk
                $0.device.linkBandwidth = 3e7
            }
        ),
        (
            "headroom of the whole device, request by request",
            {
                $0.recording.offload = .headroom
                $0.recording.headroom = .share(1)
            }
        ),
        ("whole requests", { $0.recording.granule = .request }),
        ("decoded tokens, too", { $0.recording.scope = .all }),
        (
            "decoded tokens, hedged, loss on all",
            {
                $0.recording.scope = .all
                $0.recording.offload = .hedged
                $0.training.lossTokens = .all
                $0.serving.kvBlockTokens = 5
            }
        ),
        ("some requests", { $0.recording.selection = .fraction(0.6) }),
        (
            "preemption by swapping, decoded tokens with other plans",
            {
                $0.recording.scope = .all
                $0.recording.plan = LayerPlans(layers: [.boundary, .lean])
                $0.recording.offload = .none
                $0.serving.preemption = .swap
                limitKV(&$0)
            }
        ),
        (
            "a prefix cache across versions, decoded tokens, hedged, with preemption",
            {
                $0.recording.scope = .all
                $0.recording.offload = .hedged
                $0.serving.prefixCache = true
                $0.serving.prefixCacheAcrossVersions = true
                $0.serving.kvBlockTokens = 4
                limitKV(&$0)
            }
        ),
        ("bf16", { $0.recording.precision = .bf16 }),
        (
            "int8, loss on all tokens, small chunks, small quanta",
            {
                $0.recording.precision = .int8
                $0.training.lossTokens = .all
                $0.serving.tokenBudget = 9
                $0.training.quantumMax = SimDuration(nanoseconds: 60_000)
            }
        ),
        (
            "int8 kept on the device, full tuning",
            {
                $0.recording.precision = .int8
                $0.recording.offload = .none
                $0.training.tuning = .full
                $0.training.learningRate = 1e-3
            }
        ),
        (
            "bf16, hedged over a slow link, decoded tokens, other plans in other layers, full tuning",
            {
                $0.recording.precision = .bf16
                $0.recording.scope = .all
                $0.recording.offload = .hedged
                $0.recording.plan = LayerPlans(layers: [.boundary, .lean])
                $0.device.linkBandwidth = 3e7
                $0.training.tuning = .full
                $0.training.learningRate = 1e-3
            }
        ),
        (
            "int8, decoded tokens, full checkpointing, no prefetch, whole requests",
            {
                $0.recording.precision = .int8
                $0.recording.scope = .all
                $0.recording.granule = .request
                $0.training.checkpointing = .full
                $0.recording.prefetchLayers = 0
            }
        ),
        (
            "preemption by swapping, bf16",
            {
                limitKV(&$0)
                $0.serving.preemption = .swap
                $0.recording.precision = .bf16
            }
        ),
        (
            "a prefix cache across versions, shared records, int8, small chunks",
            {
                $0.serving.prefixCache = true
                $0.serving.prefixCacheAcrossVersions = true
                $0.serving.kvBlockTokens = 4
                $0.serving.tokenBudget = 24
                $0.training.updateEvery = 1
                $0.recording.scope = .all
                $0.recording.precision = .int8
            }
        ),
        ("few targets", { $0.training.tuning = .lora(rank: 4, alpha: 4, targets: [.query, .value]) }),
    ]

    @Test(arguments: paths.indices) func gradientsAreExactWhateverPathARecordTook(path: Int) throws {
        let name = Self.paths[path].name
        // Where sequences are to give way they come together, however fast the machine is.
        let trace = try Self.trace(requests: 24, rate: name.hasPrefix("preemption") ? 5000 : 300)
        let (log, backend) = try Self.run(Self.configuration(Self.paths[path].change), trace)
        let audits = log.steps.compactMap(\.audit)
        #expect(audits.count == log.steps.count)
        #expect(log.steps.reduce(0) { $0 + $1.reusedTokens } > 0)
        #expect(log.requests.contains { $0.preemptions > 0 } == name.contains("preemption"))
        #expect(log.requests.contains { $0.swappedBytes > .zero } == name.contains("swapping"))
        #expect(log.requests.contains { $0.cachedTokens > 0 } == name.contains("prefix cache"))
        let worst = audits.map(\.roundingError).max() ?? .infinity
        #expect(worst <= 1e-5, "\(Self.paths[path].name): rounding error \(worst)")
        #expect(backend.arenaIsEmpty)
        Self.expectRealBytes(log)
        let configuration = Self.configuration(Self.paths[path].change)
        let keepsAll =
            configuration.training.checkpointing != .full && configuration.recording.plan == LayerPlans(.full)
        let again = log.steps.reduce(SimDuration.zero) { $0 + $1.time.recompute }
        #expect((again == .zero) == keepsAll)
        let losses = log.steps.compactMap(\.loss)
        #expect(losses.count == log.steps.count && losses.allSatisfy { $0.isFinite && $0 > 0 })
        #expect(log.steps.allSatisfy { ($0.gradientNorm ?? 0) > 0 })
    }

    /// By the machine's own clock nothing says which way records go, only that every way is exact and all time is told.
    @Test(arguments: [false, true]) func gradientsAreExactByTheRealClock(isFull: Bool) throws {
        let configuration = Self.configuration {
            if isFull { $0.training.tuning = .full }
            $0.training.learningRate = 1e-3
            $0.recording.offload = .hedged
            $0.serving.prefixCache = true
        }
        let trace = try Self.trace(requests: 24)
        let backend = MeasuredBackend(
            engine: EngineContext(Self.model, pool: ThreadPool(width: 2)), profile: .paced, tokens: Self.Tokens(trace),
            options: MeasuredOptions(configuration))
        var simulation = try Simulation(configuration: configuration, trace: trace, backend: backend)
        let log = try simulation.run()
        let audits = log.steps.compactMap(\.audit)
        #expect(audits.count == log.steps.count && !audits.isEmpty)
        #expect(audits.allSatisfy { $0.roundingError <= 1e-5 })
        #expect(log.quanta.allSatisfy { $0.duration > .zero && $0.probe != nil })
        #expect(log.quanta.contains { $0.duration != $0.predicted })
        #expect(backend.arenaIsEmpty)
        Self.expectRealBytes(log)
    }

    /// What is really held is what the books say, to the byte: KV blocks and records on either tier. Room for reloads is
    /// booked when a micro-batch opens, and filled and emptied layer by layer.
    static func expectRealBytes(_ log: ArmLog) {
        #expect(log.memory.arenas.count == 5)
        for peak in log.memory.arenas {
            if peak.purpose == .staged {
                #expect(peak.held <= peak.booked)
            } else {
                #expect(peak.held == peak.booked, "\(peak.purpose.name) on the \(peak.tier.name)")
            }
        }
        let owners = log.memory.device.peakByOwner
        #expect(log.memory.device.kvPeak >= owners[MemoryOwner.kv.rawValue])
    }

    /// Tight tiers send records every way that they can go: hedges that partly go, refusals, evictions, waits, drops.
    static let tight:
        [(
            offload: RecordingConfiguration.Offload, backpressure: RecordingConfiguration.Backpressure,
            eviction: RecordingConfiguration.HostEviction, granule: RecordingConfiguration.Granule,
            scope: RecordingConfiguration.Scope
        )] = [
            (.none, .drop, .none, .layer, .prefill), (.none, .stall, .none, .layer, .prefill),
            (.eager, .drop, .oldest, .layer, .prefill), (.eager, .stall, .none, .chunk, .prefill),
            (.hedged, .drop, .oldest, .layer, .prefill), (.hedged, .stall, .expiring, .layer, .all),
            (.hedged, .drop, .none, .request, .all), (.headroom, .drop, .expiring, .chunk, .prefill),
            (.headroom, .stall, .oldest, .layer, .all),
        ]

    @Test(arguments: tight.indices) func gradientsAreExactWhenRecordsAreSqueezed(path: Int) throws {
        let trace = try Self.trace(requests: 30)
        var configuration = Self.configuration {
            $0.recording.offload = Self.tight[path].offload
            $0.recording.backpressure = Self.tight[path].backpressure
            $0.recording.hostEviction = Self.tight[path].eviction
            $0.recording.granule = Self.tight[path].granule
            $0.recording.scope = Self.tight[path].scope
            $0.device.linkBandwidth = 2e8
        }
        let least = MemoryRequirement(
            configuration: configuration, trace: trace,
            demand: MeasuredDemand(Self.model, MeasuredOptions(configuration), threads: 2))
        configuration.device.memory = least.deviceForEveryRequest + Bytes(300_000)
        configuration.device.hostMemory = least.host + Bytes(300_000)
        let (log, backend) = try Self.run(configuration, trace)
        #expect(log.steps.reduce(0) { $0 + $1.reusedTokens } > 0)
        #expect(log.requests.contains { $0.lost.dropped > 0 })
        let audits = log.steps.compactMap(\.audit)
        #expect(audits.count == log.steps.count && audits.allSatisfy { $0.roundingError <= 1e-5 })
        #expect(backend.arenaIsEmpty && log.memory.device.peak <= configuration.device.memory)
        Self.expectRealBytes(log)
    }

    /// Requests that begin alike, most of them before the first record is trained on, share the records of their beginnings.
    @Test(
        arguments: RecordingConfiguration.PrefixHit.allCases,
        [(RecordingConfiguration.Scope.prefill, RecordingConfiguration.Offload.eager), (.all, .hedged), (.all, .none)])
    func gradientsAreExactOnSharedRecords(
        onHit: RecordingConfiguration.PrefixHit,
        recording: (scope: RecordingConfiguration.Scope, offload: RecordingConfiguration.Offload)
    ) throws {
        var options = TraceGeneratorOptions()
        options.requests = 30
        options.maxContext = 200
        options.scale = 0.1
        options.language.vocabulary = 512
        options.arrivals = .poisson(rate: 1000)
        options.meanThinkTime = 0.002
        options.sharedPrefix = TraceGeneratorOptions.SharedPrefix(tokens: 45, groups: 2)
        options.feedback = TraceGeneratorOptions.FeedbackModel(rate: 0.9, meanDelay: 0.02)
        let trace = try TraceGenerator(options).generate()
        let (log, backend) = try Self.run(
            Self.configuration {
                $0.serving.prefixCache = true
                $0.serving.prefixCacheAcrossVersions = true
                $0.serving.kvBlockTokens = 8
                $0.recording.scope = recording.scope
                $0.recording.offload = recording.offload
                $0.recording.onPrefixHit = onHit
                $0.training.staleness = .bounded(4)
            }, trace)
        #expect(log.requests.reduce(0) { $0 + $1.linkedTokens } > 100)
        // Answers that are not recorded leave something to find without a record; nothing is found so with `reprefill`.
        let unlinked = log.requests.reduce(0) { $0 + $1.lost[.unlinked] }
        if recording.scope == .prefill || onHit == .reprefill { #expect((unlinked > 0) == (onHit == .link)) }
        let audits = log.steps.compactMap(\.audit)
        #expect(audits.count == log.steps.count && !audits.isEmpty)
        #expect(audits.allSatisfy { $0.roundingError <= 1e-5 })
        #expect(backend.arenaIsEmpty)
        Self.expectRealBytes(log)
    }

    /// With records of the current version only, reuse is recomputing.
    @Test(arguments: [[Simulator.SavePlan.full], [.lean], [.boundary], [.lean, .boundary]])
    func exactRecordsGiveTheGradientOfRecomputing(plans: [Simulator.SavePlan]) throws {
        let trace = try Self.trace(requests: 24)
        let (log, _) = try Self.run(
            Self.configuration {
                $0.training.staleness = .exact
                $0.recording.plan = LayerPlans(layers: plans)
                // Few steps, so that some records are of the current version.
                $0.training.updateEvery = 8
            }, trace)
        let reused = log.steps.filter { $0.reusedTokens > 0 }
        #expect(!reused.isEmpty)
        for step in reused {
            #expect(step.oldestAge == 0)
            #expect((step.audit?.stalenessError ?? .infinity) <= 1e-5)
        }
    }

    /// Stale records give another gradient, and the audit sees it.
    @Test func staleRecordsShowInTheStalenessError() throws {
        let trace = try Self.trace(requests: 24)
        let (log, _) = try Self.run(Self.configuration { $0.training.updateEvery = 2 }, trace)
        let stale = log.steps.filter { $0.oldestAge > 0 }
        #expect(!stale.isEmpty)
        let audits = stale.compactMap(\.audit)
        #expect(audits.contains { $0.stalenessError > 1e-4 })
        #expect(audits.allSatisfy { $0.roundingError <= 1e-5 && $0.stalenessCosine < 1 })
    }

    /// Records that were given up for want of memory leave gaps, which training recomputes.
    @Test func tightMemoryLeavesGapsAndExactGradients() throws {
        let trace = try Self.trace(requests: 24)
        var configuration = Self.configuration { $0.recording.offload = .none }
        let least = MemoryRequirement(
            configuration: configuration, trace: trace,
            demand: MeasuredDemand(Self.model, MeasuredOptions(configuration), threads: 2))
        configuration.device.memory = least.deviceForEveryRequest + Bytes(200_000)
        let (log, _) = try Self.run(configuration, trace)
        #expect(log.requests.contains { $0.lost.dropped > 0 })
        #expect(log.memory.device.peak <= configuration.device.memory)
        let audits = log.steps.compactMap(\.audit)
        #expect(audits.count == log.steps.count && !audits.isEmpty)
        #expect(audits.allSatisfy { $0.roundingError <= 1e-5 })
    }

    @Test func learningLowersTheLoss() throws {
        var options = TraceGeneratorOptions()
        options.requests = 160
        options.scale = 0.1
        options.maxContext = 200
        options.language.vocabulary = 512
        options.arrivals = .poisson(rate: 1000)
        options.feedback = TraceGeneratorOptions.FeedbackModel(rate: 1, meanDelay: 0.001)
        let trace = try TraceGenerator(options).generate()
        let (log, _) = try Self.run(
            Self.configuration {
                $0.training.tuning = .full
                $0.training.lossTokens = .all
                $0.training.auditEvery = 0
                $0.training.updateEvery = 2
                $0.training.learningRate = 2e-3
            }, trace)
        let losses = log.steps.compactMap(\.loss)
        let first = losses.prefix(5).reduce(0, +) / 5
        let last = losses.suffix(5).reduce(0, +) / 5
        #expect(last < 0.93 * first, "loss went from \(first) to \(last)")
    }
}
