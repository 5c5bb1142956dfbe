import Engine
import MeasuredBackend
import Simulator
import Testing

/// Whole arms on a real, very small transformer, as the tests here set them up.
enum TinyArm {
    static let model: ModelConfig = {
        guard let preset = ModelConfig.preset("nano") else { preconditionFailure("the presets have a nano") }
        return preset
    }()

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

    /// A backend with nothing done yet, on two threads.
    static func backend(
        _ configuration: ArmConfiguration, _ tokens: any TokenIDs, heldOut: HeldOutTexts = .none
    ) -> MeasuredBackend {
        var options = MeasuredOptions(configuration)
        options.heldOut = heldOut
        return MeasuredBackend(
            engine: EngineContext(model, pool: ThreadPool(width: 2)), profile: .paced, tokens: tokens, options: options)
    }

    static func demand(_ configuration: ArmConfiguration) -> MeasuredDemand {
        MeasuredDemand(model, MeasuredOptions(configuration), threads: 2)
    }

    /// The arm over the trace, all of it computed, at the pace of a made-up machine.
    static func simulation(
        _ configuration: ArmConfiguration, _ trace: Trace, _ backend: MeasuredBackend
    ) throws -> Simulation<PacedBackend> {
        try Simulation(
            configuration: configuration, trace: trace,
            backend: PacedBackend(backend, demand: demand(configuration)))
    }

    static func run(
        _ configuration: ArmConfiguration, _ trace: Trace
    ) throws -> (log: ArmLog, backend: MeasuredBackend) {
        let backend = backend(configuration, TinyTokens(trace))
        var simulation = try simulation(configuration, trace, backend)
        return (try simulation.run(), backend)
    }

    /// Leaves KV memory for little more than the longest request.
    static func limitKV(_ configuration: inout ArmConfiguration) {
        let perToken = demand(configuration).footprint.kvPerToken
        configuration.serving.kvMemory = .bytes(perToken * 224)
        configuration.serving.kvWatermark = 0
    }

    /// Small blocks, so that the short prompts of these tests share some.
    static func cachePrefixes(_ configuration: inout ArmConfiguration, acrossVersions: Bool = false) {
        configuration.serving.prefixCache = true
        configuration.serving.prefixCacheAcrossVersions = acrossVersions
        configuration.serving.kvBlockTokens = 4
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
}

/// The trace's own token ids, and other answers where feedback gives none.
struct TinyTokens: TokenIDs {
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
