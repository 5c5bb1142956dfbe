import Engine
import MeasuredBackend
import Simulator
import Testing

/// Whole arms on a real, very small transformer: every gradient that comes out of reuse is audited.
@Suite(.serialized) struct MeasuredSimulationTests {
    @Test(arguments: RecordPath.all) func gradientsAreExactWhateverPathARecordTook(path: RecordPath) throws {
        // Where sequences are to give way they come together, however fast the machine is.
        let trace = try TinyArm.trace(requests: 24, rate: path.name.hasPrefix("preemption") ? 5000 : 300)
        let (log, backend) = try TinyArm.run(TinyArm.configuration(path.change), trace)
        let audits = log.steps.compactMap(\.audit)
        #expect(audits.count == log.steps.count)
        #expect(log.steps.reduce(0) { $0 + $1.reusedTokens } > 0)
        #expect(log.requests.contains { $0.preemptions > 0 } == path.name.contains("preemption"))
        #expect(log.requests.contains { $0.swappedBytes > .zero } == path.name.contains("swapping"))
        #expect(log.requests.contains { $0.cachedTokens > 0 } == path.name.contains("prefix cache"))
        let worst = audits.map(\.roundingError).max() ?? .infinity
        #expect(worst <= 1e-5, "\(path.name): rounding error \(worst)")
        #expect(backend.arenaIsEmpty)
        TinyArm.expectRealBytes(log)
        let configuration = TinyArm.configuration(path.change)
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
        let configuration = TinyArm.configuration {
            if isFull { $0.training.tuning = .full }
            $0.training.learningRate = 1e-3
            $0.recording.offload = .hedged
            $0.serving.prefixCache = true
        }
        let trace = try TinyArm.trace(requests: 24)
        let backend = TinyArm.backend(configuration, TinyTokens(trace))
        var simulation = try Simulation(configuration: configuration, trace: trace, backend: backend)
        let log = try simulation.run()
        let audits = log.steps.compactMap(\.audit)
        #expect(audits.count == log.steps.count && !audits.isEmpty)
        #expect(audits.allSatisfy { $0.roundingError <= 1e-5 })
        #expect(log.quanta.allSatisfy { $0.duration > .zero && $0.probe != nil })
        #expect(log.quanta.contains { $0.duration != $0.predicted })
        #expect(backend.arenaIsEmpty)
        TinyArm.expectRealBytes(log)
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
        let trace = try TinyArm.trace(requests: 30)
        var configuration = TinyArm.configuration {
            $0.recording.offload = Self.tight[path].offload
            $0.recording.backpressure = Self.tight[path].backpressure
            $0.recording.hostEviction = Self.tight[path].eviction
            $0.recording.granule = Self.tight[path].granule
            $0.recording.scope = Self.tight[path].scope
            $0.device.linkBandwidth = 2e8
        }
        let least = MemoryRequirement(
            configuration: configuration, trace: trace,
            demand: TinyArm.demand(configuration))
        configuration.device.memory = least.deviceForEveryRequest + Bytes(300_000)
        configuration.device.hostMemory = least.host + Bytes(300_000)
        let (log, backend) = try TinyArm.run(configuration, trace)
        #expect(log.steps.reduce(0) { $0 + $1.reusedTokens } > 0)
        #expect(log.requests.contains { $0.lost.dropped > 0 })
        let audits = log.steps.compactMap(\.audit)
        #expect(audits.count == log.steps.count && audits.allSatisfy { $0.roundingError <= 1e-5 })
        #expect(backend.arenaIsEmpty && log.memory.device.peak <= configuration.device.memory)
        TinyArm.expectRealBytes(log)
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
        let (log, backend) = try TinyArm.run(
            TinyArm.configuration {
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
        TinyArm.expectRealBytes(log)
    }

    /// With records of the current version only, reuse is recomputing.
    @Test(arguments: [[Simulator.SavePlan.full], [.lean], [.boundary], [.lean, .boundary]])
    func exactRecordsGiveTheGradientOfRecomputing(plans: [Simulator.SavePlan]) throws {
        let trace = try TinyArm.trace(requests: 24)
        let (log, _) = try TinyArm.run(
            TinyArm.configuration {
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
        let trace = try TinyArm.trace(requests: 24)
        let (log, _) = try TinyArm.run(TinyArm.configuration { $0.training.updateEvery = 2 }, trace)
        let stale = log.steps.filter { $0.oldestAge > 0 }
        #expect(!stale.isEmpty)
        let audits = stale.compactMap(\.audit)
        #expect(audits.contains { $0.stalenessError > 1e-4 })
        #expect(audits.allSatisfy { $0.roundingError <= 1e-5 && $0.stalenessCosine < 1 })
    }

    /// Records that were given up for want of memory leave gaps, which training recomputes.
    @Test func tightMemoryLeavesGapsAndExactGradients() throws {
        let trace = try TinyArm.trace(requests: 24)
        var configuration = TinyArm.configuration { $0.recording.offload = .none }
        let least = MemoryRequirement(
            configuration: configuration, trace: trace,
            demand: TinyArm.demand(configuration))
        configuration.device.memory = least.deviceForEveryRequest + Bytes(200_000)
        let (log, _) = try TinyArm.run(configuration, trace)
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
        let (log, _) = try TinyArm.run(
            TinyArm.configuration {
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
