internal import Results
internal import Simulator

/// One setting of a scenario: its name, its meaning, and how it is read and written. Files, `--set`, the resolved
/// scenario in the results, and the reference all walk the one table of these.
public struct ScenarioField: Sendable {
    /// Dotted name, as in `training.learning_rate`.
    public let path: String
    public let meaning: String
    let read: @Sendable (Scenario) -> String
    let write: @Sendable (inout Scenario, String) throws(ValueProblem) -> Void

    /// The field's value in `scenario`, as it would be written in a file.
    public func value(in scenario: Scenario) -> String { read(scenario) }
}

extension Scenario {
    /// Sets one field from its text; `arms.NAME.` before it sets that arm's own.
    public mutating func set(_ path: String, to value: String, at origin: ScenarioError.Origin) throws(ScenarioError) {
        if path.hasPrefix(ArmSpecification.prefix) {
            try setOfArm(path, to: value, at: origin)
        } else {
            try setField(path, to: value, at: origin)
        }
    }

    /// Sets one field of what arms start from.
    mutating func setField(_ path: String, to value: String, at origin: ScenarioError.Origin) throws(ScenarioError) {
        guard let field = ScenarioField.all.first(where: { $0.path == path }) else {
            throw ScenarioField.unknown(path, at: origin)
        }
        do {
            try field.write(&self, value)
        } catch {
            throw ScenarioError(
                origin: origin, field: path, problem: "found `\(value.safeExcerpt)`, expected \(error.expected)")
        }
        origins[path] = origin
    }
}

extension ScenarioField {
    static let adapterPath = "training.adapter"
    /// Fields that an adapter decides; what else they are set to must agree.
    static let adapterDecided = [
        "training.tuning", "training.lora_rank", "training.lora_alpha", "training.lora_targets",
    ]

    /// Fields that accelerators have defaults for.
    static let devicePrefix = "device."

    static func unknown(_ path: String, at origin: ScenarioError.Origin) -> ScenarioError {
        let hint = nearest(to: path, among: all.map(\.path)).map { "; did you mean `\($0)`?" } ?? ""
        return ScenarioError(origin: origin, field: path.safeExcerpt, problem: "there is no such field" + hint)
    }

    /// Every field, in the order in which scenarios are written.
    public static let all: [ScenarioField] =
        general + hardware + device + serving + recording + training + feedback + content + metrics

    private static let general: [ScenarioField] = [
        ScenarioField(
            path: "model",
            meaning: "Model of the registry, or the path of a checkpoint's folder, a `config.json` or a file in YAML.",
            read: { $0.model }
        ) { s, v throws(ValueProblem) in
            guard Presets.names.contains(v) || Presets.isPath(v) else {
                throw ValueProblem(expected: Presets.expected(for: v))
            }
            s.model = v
        },
        ScenarioField(
            path: "backend",
            meaning: "What executes plans: `measured`, hardware of the registry, or the path of a profile of hardware.",
            read: { $0.backend }
        ) { s, v throws(ValueProblem) in
            guard !v.isEmpty, !v.contains(where: \.isNewline) else {
                throw ValueProblem(
                    expected: "measured, the name of hardware, or the path of a profile of hardware")
            }
            s.backend = v
        },
        integer("seed", 0...Int.max, "Seed of weights, feedback and synthesised tokens.", \.base.seedValue),
        integer("repeats", 1...1000, "Runs of every arm, interleaved; figures are medians over them.", \.repeats),
        integer("threads", 0...1024, "Threads of the measured backend; 0 takes every processor.", \.threads),
    ]

    private static let hardware: [ScenarioField] = [
        integer(
            "hardware.tensor_parallel", 1...64, "Accelerators that share every layer and are one device together.",
            \.hardware.tensorParallel),
        bits("hardware.weight_bits", "Bits of the layers' matrices on an accelerator.", \.hardware.weightBits),
        bits("hardware.kv_bits", "Bits of K and V on an accelerator.", \.hardware.kvBits),
    ]

    private static let device: [ScenarioField] = [
        bytes("device.memory", "Capacity of device memory.", \.base.device.memory),
        bytes("device.host_memory", "Capacity of the host tier for offloaded records.", \.base.device.hostMemory),
        ScenarioField(
            path: "device.link_bandwidth", meaning: "Bandwidth of the host link, each way.",
            read: { Quantity.write(bandwidth: $0.base.device.linkBandwidth) }
        ) { s, v throws(ValueProblem) in s.base.device.linkBandwidth = try Quantity.bandwidth(v) },
        duration("device.link_latency", "Fixed cost of one transfer.", \.base.device.linkLatency),
        number(
            "device.memory_utilization", 0.01...1, "Share of device memory that may be used.",
            \.base.device.memoryUtilization),
    ]

    private static let serving: [ScenarioField] = [
        integer(
            "serving.token_budget", 1...1_000_000, "Tokens of one iteration, prompts and decoding together.",
            \.base.serving.tokenBudget),
        integer("serving.max_batch", 1...100_000, "Requests that run at the same time.", \.base.serving.maxBatch),
        duration(
            "serving.ttft_objective", "Objective for the time to the first token; 0 for none.",
            \.base.serving.ttftObjective),
        duration(
            "serving.tbt_objective", "Objective for the time between two tokens; 0 for none.",
            \.base.serving.tbtObjective),
        integer("serving.kv_block_tokens", 1...65_536, "Tokens of one KV block.", \.base.serving.kvBlockTokens),
        ScenarioField(
            path: "serving.kv_memory",
            meaning: "Device memory for KV blocks: `auto`, what is left of it; an amount; or `share(U)`, U times the "
                + "device's memory less weights and serving workspace.",
            read: { $0.base.serving.kvMemory.text }
        ) { s, v throws(ValueProblem) in s.base.serving.kvMemory = try .init(text: v) },
        number(
            "serving.kv_watermark", 0...1, "Share of the KV blocks left free when a request is admitted beside others.",
            \.base.serving.kvWatermark),
        choice("serving.policy", "Which work an iteration takes up.", \.base.serving.policy),
        choice(
            "serving.admission", "Who is admitted next; `priority` is the trace's, lower first.",
            \.base.serving.admission),
        choice(
            "serving.preemption", "How a request gives its KV blocks up when another needs them.",
            \.base.serving.preemption),
        flag(
            "serving.prefix_cache", "Whether full KV blocks are kept and found again by what they hold.",
            \.base.serving.prefixCache),
        flag(
            "serving.prefix_cache_across_versions",
            "Whether blocks may be found that other versions of the weights computed.",
            \.base.serving.prefixCacheAcrossVersions),
    ]

    private static let recording: [ScenarioField] = [
        choice("recording.record", "What serving records.", \.base.recording.scope),
        ScenarioField(
            path: "recording.select",
            meaning:
                "Requests that are recorded: `all`, `fraction(F)` of them, or `expected_feedback(R,P)`: those that a "
                + "simulated predictor of feedback picks with recall R and precision P.",
            read: { $0.base.recording.selection.text }
        ) { s, v throws(ValueProblem) in s.base.recording.selection = try .init(text: v) },
        ScenarioField(
            path: "recording.plan",
            meaning: "What is kept of each recorded token: `full`, `lean` (without gate and up), `boundary` (the "
                + "layers' inputs), a list of exactly one of these for each layer, separated by commas, or `auto`: the plans "
                + "that train fastest on the arm's hardware, which results show in its place.",
            read: { $0.base.recording.choosesPlan ? "auto" : $0.base.recording.plan.text }
        ) { s, v throws(ValueProblem) in
            s.base.recording.choosesPlan = v == "auto"
            guard v != "auto" else {
                s.base.recording.plan = LayerPlans(.boundary)
                return
            }
            var plans: [SavePlan] = []
            for name in v.split(separator: ",", omittingEmptySubsequences: false) {
                do throws(ValueProblem) { plans.append(try Quantity.choice(name.trimmed)) } catch {
                    throw ValueProblem(expected: error.expected + ", or auto")
                }
            }
            s.base.recording.plan = LayerPlans(layers: plans)
        },
        choice(
            "recording.precision",
            "What values of records are rounded to: `own`, as wide as the backend computes them, 32 bits on a CPU and 16 on "
                + "an accelerator; the others where they are narrower than that.", \.base.recording.precision),
        choice(
            "recording.offload", "When records are copied to the host and their device copies freed.",
            \.base.recording.offload),
        ScenarioField(
            path: "recording.headroom",
            meaning: "Device memory that the offload policy `headroom` keeps free: an amount, or a percentage.",
            read: { $0.base.recording.headroom.text }
        ) { s, v throws(ValueProblem) in s.base.recording.headroom = try .init(text: v) },
        choice("recording.granule", "What one transfer to the host moves.", \.base.recording.granule),
        choice(
            "recording.backpressure", "What happens to records when device, link or host do not suffice for them.",
            \.base.recording.backpressure),
        choice(
            "recording.host_eviction",
            "Records that a full host gives up for newer ones and, under `stall`, for swapped requests.",
            \.base.recording.hostEviction),
        choice(
            "recording.pause",
            "When serving does not record: `waiting` are iterations that leave requests waiting for their first turn.",
            \.base.recording.pause),
        choice(
            "recording.on_prefix_hit",
            "Prompt tokens that the prefix cache has share the record of those who computed them; where there is none they "
                + "stay without, or are prefilled again.", \.base.recording.onPrefixHit),
        flag(
            "recording.evicts_prefix_cache", "Whether blocks that only the prefix cache holds give way to new records.",
            \.base.recording.evictsPrefixCache),
        duration(
            "recording.keep_for", "How long after its request a record waits for feedback.", \.base.recording.keepFor),
        integer(
            "recording.prefetch_layers", 0...10_000, "Layers of records reloaded ahead of the backward pass.",
            \.base.recording.prefetchLayers),
    ]

    private static let training: [ScenarioField] = [
        flag("training.enabled", "Whether feedback is learned from.", \.base.training.enabled),
        flag("training.reuse", "Whether recorded tokens skip the forward pass.", \.base.training.reuse),
        choice(
            "training.placement", "Whether the trainer shares the server's device or has its own.",
            \.base.training.placement),
        choice(
            "training.sharing",
            "Who gets a shared compute stream; `slo` needs serving.tbt_objective or serving.ttft_objective.",
            \.base.training.sharing),
        number(
            "training.share", 0...1, "With `share`, the trainer's part of the stream's time.",
            \.base.training.share),
        ScenarioField(
            path: "training.tuning", meaning: "What training changes: `full`, or `lora`.",
            read: { if case .full = $0.base.training.tuning { "full" } else { "lora" } }
        ) { s, v throws(ValueProblem) in
            switch v {
            case "full": s.base.training.tuning = .full
            case "lora":
                if case .full = s.base.training.tuning { s.base.training.tuning = TrainingConfiguration().tuning }
            default: throw ValueProblem(expected: "full or lora")
            }
        },
        ScenarioField(
            path: adapterPath,
            meaning: "Folder with the adapters that `lora` starts from; rank, alpha and targets are theirs.",
            read: { $0.adapter ?? "none" }
        ) { s, v throws(ValueProblem) in
            guard !v.isEmpty else { throw ValueProblem(expected: "the path of a folder, or none") }
            s.adapter = v == "none" ? nil : v
        },
        lora("training.lora_rank", "Rank of the adapters.", { "\($0.rank)" }) { lora, v throws(ValueProblem) in
            lora.rank = try Quantity.integer(v, in: 1...4096)
        },
        lora("training.lora_alpha", "Scale of the adapters: alpha / rank.", { Quantity.short($0.alpha) }) {
            lora, v throws(ValueProblem) in lora.alpha = try Quantity.number(v, in: 1e-6...1e6)
        },
        lora(
            "training.lora_targets", "Projections with adapters, separated by commas.",
            { $0.targets.map(\.rawValue).joined(separator: ",") }
        ) { lora, v throws(ValueProblem) in
            var targets: [Projection] = []
            for name in v.split(separator: ",", omittingEmptySubsequences: false) {
                let target: Projection = try Quantity.choice(name.trimmed)
                if targets.contains(target) { throw ValueProblem(expected: "each projection once") }
                targets.append(target)
            }
            lora.targets = Projection.allCases.filter(targets.contains)
        },
        choice(
            "training.objective",
            "What is learned from feedback: `trace`, what each feedback is, or only this.", \.base.training.objective),
        number(
            "training.dpo_beta", 1e-6...1e6, "Of pairs: how dearly leaving the reference model is paid for.",
            \.base.training.beta),
        flag(
            "training.shared_prompts", "Whether the answers of a pair or a group share their prompt's passes.",
            \.base.training.sharedPrompts),
        integer("training.update_every", 1...1_000_000, "Samples that form one step.", \.base.training.updateEvery),
        integer(
            "training.micro_batch_tokens", 1...10_000_000,
            "Tokens that go through one forward and backward together, or fewer where the device has no room for them.",
            \.base.training.microBatchTokens),
        choice("training.loss_on", "Tokens that carry loss.", \.base.training.lossTokens),
        choice(
            "training.checkpointing", "What the trainer's own forward pass keeps until the backward pass.",
            \.base.training.checkpointing),
        flag(
            "training.offload_activations",
            "Whether what it keeps goes to the host and comes back layer by layer, over the server's link; of a colocated "
                + "trainer that recomputes.", \.base.training.offloadsActivations),
        integer(
            "training.activations_ahead", 0...10_000,
            "Layers of it that are on the device beside the one in use: on their way out, or back early.",
            \.base.training.activationsAhead),
        ScenarioField(
            path: "training.staleness", meaning: "Records that may be used: `exact`, `bounded(K)` versions, or `any`.",
            read: { $0.base.training.staleness.text }
        ) { s, v throws(ValueProblem) in s.base.training.staleness = try .init(text: v) },
        number("training.learning_rate", 0...1000, "AdamW's learning rate.", \.base.training.learningRate),
        choice(
            "training.schedule",
            "How the learning rate comes down from that, to a tenth of it.", \.base.training.schedule.shape),
        integer(
            "training.warmup_steps", 0...1_000_000, "Steps in which it rises to that.",
            \.base.training.schedule.warmup),
        integer(
            "training.schedule_steps", 1...1_000_000_000, "The step by which it has come down; it stays there.",
            \.base.training.schedule.steps),
        number("training.weight_decay", 0...1000, "AdamW's decoupled weight decay.", \.base.training.weightDecay),
        number(
            "training.clip_norm", 0...1e9, "Largest norm of a gradient; 0 for no clipping.", \.base.training.clipNorm),
        duration(
            "training.quantum_max", "Longest predicted time of one trainer quantum.", \.base.training.quantumMax,
            atLeast: SimDuration(nanoseconds: 1)),
        integer(
            "training.audit_every", 0...1_000_000,
            "Audits every n-th step's gradient, outside the clock; 0 audits none, nor does a run that computes nothing.",
            \.base.training.auditEvery),
        flag(
            "training.audit_samples",
            "Whether an audit also takes each sample's gradient by itself, layer by layer.",
            \.base.training.auditsSamples),
        integer(
            "training.evaluate_every", 0...1_000_000,
            "Takes the loss on held-out texts after every n-th step, outside the clock; 0 takes none.",
            \.base.training.evaluateEvery),
        integer(
            "training.evaluation_tokens", 1...100_000_000, "Held-out tokens of each language.",
            \.base.training.evaluationTokens),
    ]

    private static let feedback: [ScenarioField] = [
        number(
            "feedback.rate", 0...1, "Share of requests with feedback, where the trace says nothing.",
            \.base.feedback.rate),
        duration("feedback.mean_delay", "Mean delay of that feedback, exponential.", \.base.feedback.meanDelay),
        integer(
            "feedback.group_size", 2...1024,
            "Answers of that feedback's groups, with `training.objective: group`; the one served is one of them.",
            \.base.feedback.groupSize),
    ]
}

extension ScenarioField {
    fileprivate static let content: [ScenarioField] = [
        number(
            "content.shift", 0...1,
            "Share of contexts in which made-up text differs from the language that base models are taught; of a trace "
                + "with ids, the `--shift` it was generated with.",
            \.contentShift)
    ]

    fileprivate static let metrics: [ScenarioField] = [
        ScenarioField(
            path: "metrics.warmup",
            meaning: "What figures of serving leave out at the start: a share of the requests, or a time.",
            read: { Quantity.write($0.window.warmup) }
        ) { s, v throws(ValueProblem) in s.window.warmup = try Quantity.span(v) },
        ScenarioField(
            path: "metrics.window",
            meaning: "What they are drawn from after it: `all`, a share of the requests, or a time.",
            read: { $0.window.length.map(Quantity.write) ?? "all" }
        ) { s, v throws(ValueProblem) in
            s.window.length = v == "all" ? nil : try Quantity.span(v)
        },
    ]
}

// MARK: Kinds of fields

extension ScenarioField {
    private typealias Path<Value> = WritableKeyPath<Scenario, Value> & Sendable

    private static func integer(
        _ path: String, _ range: ClosedRange<Int>, _ meaning: String, _ key: any Path<Int>
    ) -> ScenarioField {
        ScenarioField(path: path, meaning: meaning, read: { "\($0[keyPath: key])" }) { s, v throws(ValueProblem) in
            s[keyPath: key] = try Quantity.integer(v, in: range)
        }
    }

    private static func bits(_ path: String, _ meaning: String, _ key: any Path<Int>) -> ScenarioField {
        ScenarioField(path: path, meaning: meaning + " 16 or 8.", read: { "\($0[keyPath: key])" }) {
            s, v throws(ValueProblem) in
            guard let bits = Int(v), bits == 16 || bits == 8 else { throw ValueProblem(expected: "16 or 8") }
            s[keyPath: key] = bits
        }
    }

    private static func number(
        _ path: String, _ range: ClosedRange<Double>, _ meaning: String, _ key: any Path<Double>
    ) -> ScenarioField {
        ScenarioField(path: path, meaning: meaning, read: { Quantity.short($0[keyPath: key]) }) {
            s, v throws(ValueProblem) in
            s[keyPath: key] = try Quantity.number(v, in: range)
        }
    }

    private static func flag(_ path: String, _ meaning: String, _ key: any Path<Bool>) -> ScenarioField {
        ScenarioField(path: path, meaning: meaning, read: { "\($0[keyPath: key])" }) { s, v throws(ValueProblem) in
            s[keyPath: key] = try Quantity.flag(v)
        }
    }

    private static func bytes(_ path: String, _ meaning: String, _ key: any Path<Bytes>) -> ScenarioField {
        ScenarioField(path: path, meaning: meaning, read: { Quantity.write($0[keyPath: key]) }) {
            s, v throws(ValueProblem) in
            s[keyPath: key] = try Quantity.bytes(v)
        }
    }

    private static func duration(
        _ path: String, _ meaning: String, _ key: any Path<SimDuration>, atLeast least: SimDuration = .zero
    ) -> ScenarioField {
        ScenarioField(path: path, meaning: meaning, read: { Quantity.write($0[keyPath: key]) }) {
            s, v throws(ValueProblem) in
            s[keyPath: key] = try Quantity.duration(v, atLeast: least)
        }
    }

    private static func choice<Choice: RawRepresentable & CaseIterable & Sendable>(
        _ path: String, _ meaning: String, _ key: any Path<Choice>
    ) -> ScenarioField where Choice.RawValue == String {
        let names = Choice.allCases.map { "`\($0.rawValue)`" }.joined(separator: ", ")
        return ScenarioField(path: path, meaning: meaning + " One of \(names).", read: { $0[keyPath: key].rawValue }) {
            s, v throws(ValueProblem) in s[keyPath: key] = try Quantity.choice(v)
        }
    }

    struct LoRA {
        var rank: Int
        var alpha: Double
        var targets: [Projection]
    }

    private static func lora(
        _ path: String, _ meaning: String, _ read: @escaping @Sendable (LoRA) -> String,
        _ write: @escaping @Sendable (inout LoRA, String) throws(ValueProblem) -> Void
    ) -> ScenarioField {
        ScenarioField(
            path: path, meaning: meaning,
            read: { scenario in
                guard case .lora(let rank, let alpha, let targets) = scenario.base.training.tuning else {
                    return "none"
                }
                return read(LoRA(rank: rank, alpha: alpha, targets: targets))
            }
        ) { scenario, value throws(ValueProblem) in
            guard case .lora(let rank, let alpha, let targets) = scenario.base.training.tuning else {
                // A resolved scenario of full tuning says "none" here.
                if value == "none" { return }
                throw ValueProblem(expected: "no adapters, because training.tuning is full")
            }
            var lora = LoRA(rank: rank, alpha: alpha, targets: targets)
            try write(&lora, value)
            scenario.base.training.tuning = .lora(rank: lora.rank, alpha: lora.alpha, targets: lora.targets)
        }
    }
}

extension ArmConfiguration {
    /// The seed as a whole number from 0.
    fileprivate var seedValue: Int {
        get { Int(clamping: seed) }
        set { seed = UInt64(newValue) }
    }
}

extension StringProtocol {
    /// Without white space at either end.
    var trimmed: String {
        var text = Substring(self)
        while text.first?.isWhitespace == true { text.removeFirst() }
        while text.last?.isWhitespace == true { text.removeLast() }
        return String(text)
    }

    /// At most sixty characters, control characters made visible, for messages.
    var safeExcerpt: String {
        let shown = unicodeScalars.prefix(60).map { $0.isInvisible ? "\u{FFFD}" : String($0) }
        return shown.joined() + (unicodeScalars.count > 60 ? "..." : "")
    }
}

extension Unicode.Scalar {
    /// Whether it moves the cursor, colours the terminal or turns the direction of what follows, and is never shown as it is.
    var isInvisible: Bool {
        properties.generalCategory == .control || properties.generalCategory == .format
    }
}
