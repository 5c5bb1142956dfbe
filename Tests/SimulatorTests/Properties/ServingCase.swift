import Simulator

/// A small scenario with its trace, made of plain numbers: it can be drawn, cut down, and printed as the literal that
/// makes it again.
struct ServingCase: Equatable, CustomStringConvertible {
    /// A request, or the next turn of a conversation.
    struct Item: Equatable {
        /// Nanoseconds after the arrival of the one before.
        var gap = 0
        /// New tokens of its prompt.
        var user = 1
        var output = 1
        /// Index of the turn before.
        var after: Int?
        var think = 0
        var priority = 0
        /// Delay of the feedback, if there is any.
        var feedback: Int?
        /// What is learned from it, and the tokens of each answer beside the one served.
        var kind = Feedback.Kind.sft
        var other = 3
    }

    /// Whether the trace tells token ids; then conversations of the same residue modulo 3 begin alike.
    var ids = false
    var items: [Item] = []
    var budget = 16
    var batch = 4
    var block = 4
    var policy = BatchPolicy.chunked
    var admission = AdmissionPolicy.fcfs
    var preemption = PreemptionPolicy.recompute
    var prefixCache = false
    var acrossVersions = false
    var watermark = 0.0
    /// Blocks beyond those of the largest request; negative ones make it refused. `nil` leaves all memory to KV.
    var spareBlocks: Int?
    /// Device memory beyond what is needed, in blocks.
    var spareDevice = 0
    /// Host memory beyond what records need, in blocks.
    var spareHost = 0
    var bandwidth = 1e9
    var trains = false
    var reuses = false
    /// What is recorded where samples reuse records, and the policies for it.
    var scope = RecordingConfiguration.Scope.prefill
    var offload = RecordingConfiguration.Offload.none
    var backpressure = RecordingConfiguration.Backpressure.drop
    var granule = RecordingConfiguration.Granule.layer
    var headroom = 0.1
    var hostEviction = RecordingConfiguration.HostEviction.none
    var onPrefixHit = RecordingConfiguration.PrefixHit.link
    var pause = RecordingConfiguration.Pause.never
    /// Versions that a record may be old; `nil` for any.
    var staleness: Int?
    var updateEvery = 1
    var lossOnAll = false
    var keepFor = 1_000_000
    var selection = Selection.all
    /// What is kept of recorded tokens, by layer, and of the trainer's own.
    var plan = [SavePlan.full]
    var checkpointing = Checkpointing.selective
    var prefetch = 1
    var sharedPrompts = false
    /// The trainer recomputes on a device of its own; for cases that do not reuse.
    var isSeparate = false
    var sharing = Sharing.idle
    /// Objectives, in nanoseconds, for the time to the first token and between tokens.
    var firstTokenObjective = 0
    var tokenObjective = 0

    enum Selection: CaseIterable { case all, half, predicted }

    var plans: SavePlans {
        SavePlans(
            checkpointing: checkpointing, recorded: LayerPlans(layers: plan), precision: precision,
            copiesKV: offload != .none)
    }
    var evictsCache = false
    var precision = PiecePrecision.own
    /// The trainer's own activations go to the host; of a colocated trainer that recomputes.
    var offloadsActivations = false
    var activationsAhead = 1

    var description: String {
        let defaults = ServingCase()
        var parts: [String] = []
        func add<Value: Equatable>(_ name: String, _ key: KeyPath<ServingCase, Value>, _ text: (Value) -> String) {
            if self[keyPath: key] != defaults[keyPath: key] { parts.append("\(name): \(text(self[keyPath: key]))") }
        }
        add("ids", \.ids) { "\($0)" }
        parts.append("items: [" + items.map(\.description).joined(separator: ", ") + "]")
        add("budget", \.budget) { "\($0)" }
        add("batch", \.batch) { "\($0)" }
        add("block", \.block) { "\($0)" }
        add("policy", \.policy) { ".\($0)" }
        add("admission", \.admission) { ".\($0)" }
        add("preemption", \.preemption) { ".\($0)" }
        add("prefixCache", \.prefixCache) { "\($0)" }
        add("acrossVersions", \.acrossVersions) { "\($0)" }
        add("watermark", \.watermark) { "\($0)" }
        add("spareBlocks", \.spareBlocks) { $0.map(String.init) ?? "nil" }
        add("spareDevice", \.spareDevice) { "\($0)" }
        add("spareHost", \.spareHost) { "\($0)" }
        add("bandwidth", \.bandwidth) { "\($0)" }
        add("trains", \.trains) { "\($0)" }
        add("reuses", \.reuses) { "\($0)" }
        add("scope", \.scope) { ".\($0)" }
        add("offload", \.offload) { ".\($0)" }
        add("backpressure", \.backpressure) { ".\($0)" }
        add("granule", \.granule) { ".\($0)" }
        add("headroom", \.headroom) { "\($0)" }
        add("hostEviction", \.hostEviction) { ".\($0)" }
        add("pause", \.pause) { ".\($0)" }
        add("onPrefixHit", \.onPrefixHit) { ".\($0)" }
        add("staleness", \.staleness) { $0.map(String.init) ?? "nil" }
        add("updateEvery", \.updateEvery) { "\($0)" }
        add("lossOnAll", \.lossOnAll) { "\($0)" }
        add("keepFor", \.keepFor) { "\($0)" }
        add("selection", \.selection) { ".\($0)" }
        add("plan", \.plan) { "[" + $0.map { ".\($0)" }.joined(separator: ", ") + "]" }
        add("checkpointing", \.checkpointing) { ".\($0)" }
        add("prefetch", \.prefetch) { "\($0)" }
        add("sharedPrompts", \.sharedPrompts) { "\($0)" }
        add("isSeparate", \.isSeparate) { "\($0)" }
        add("sharing", \.sharing) { ".\($0)" }
        add("firstTokenObjective", \.firstTokenObjective) { "\($0)" }
        add("tokenObjective", \.tokenObjective) { "\($0)" }
        add("evictsCache", \.evictsCache) { "\($0)" }
        add("precision", \.precision) { ".\($0)" }
        add("offloadsActivations", \.offloadsActivations) { "\($0)" }
        add("activationsAhead", \.activationsAhead) { "\($0)" }
        return "ServingCase(" + parts.joined(separator: ", ") + ")"
    }

    // MARK: Meaning

    var trace: Trace {
        var requests: [Request] = []
        var arrival = SimTime.zero
        var texts: [[Int32]] = []
        var conversations: [Int] = []
        for (index, item) in items.enumerated() {
            arrival = arrival + SimDuration(nanoseconds: Int64(item.gap))
            let before = item.after.map { requests[$0] }
            conversations.append(item.after.map { conversations[$0] } ?? index)
            let history = before.map { $0.promptTokens + $0.outputTokens } ?? 0
            let prompt = history + item.user
            var text = item.after.map { texts[$0] } ?? []
            // The first dozen tokens of a text are common to all of its kind, in blocks that repeat.
            for position in text.count..<prompt + item.output {
                let id = position < 12 ? conversations[index] % 3 * 10 + position % 5 : 100 + conversations[index]
                text.append(Int32(id))
            }
            texts.append(text)
            requests.append(
                Request(
                    id: "r\(index)", arrival: arrival, promptTokens: prompt, outputTokens: item.output,
                    prompt: ids ? Array(text[..<prompt]) : nil, output: ids ? Array(text[prompt...]) : nil,
                    conversation: "c\(conversations[index])", turn: (before?.turn ?? -1) + 1, previousTurn: item.after,
                    thinkTime: SimDuration(nanoseconds: Int64(item.think)), priority: item.priority,
                    feedback: item.feedback.map {
                        .given(Feedback(delay: SimDuration(nanoseconds: Int64($0)), signal: item.signal))
                    } ?? .none))
        }
        return Trace(source: "property", requests: requests)
    }

    func configuration(for trace: Trace, demand: some MemoryDemand) -> ArmConfiguration {
        var configuration = ArmConfiguration(seed: 1)
        configuration.serving.tokenBudget = budget
        configuration.serving.maxBatch = batch
        configuration.serving.kvBlockTokens = block
        configuration.serving.policy = policy
        configuration.serving.admission = admission
        configuration.serving.preemption = preemption
        configuration.serving.prefixCache = prefixCache
        configuration.serving.prefixCacheAcrossVersions = acrossVersions
        configuration.serving.kvWatermark = watermark
        configuration.device.linkBandwidth = bandwidth
        configuration.device.linkLatency = SimDuration(nanoseconds: 100)
        configuration.training.enabled = trains
        configuration.training.reuse = trains && reuses
        configuration.training.updateEvery = updateEvery
        configuration.training.microBatchTokens = 40
        configuration.training.lossTokens = lossOnAll ? .all : .completion
        configuration.training.staleness = staleness.map { $0 == 0 ? .exact : .bounded($0) } ?? .any
        configuration.training.quantumMax = SimDuration(nanoseconds: 5_000)
        configuration.training.checkpointing = checkpointing
        configuration.training.sharedPrompts = sharedPrompts
        configuration.training.placement = isSeparate && !reuses ? .separate : .colocated
        configuration.training.sharing = sharing
        configuration.training.share = 0.3
        configuration.serving.ttftObjective = SimDuration(nanoseconds: Int64(firstTokenObjective))
        configuration.serving.tbtObjective = SimDuration(nanoseconds: Int64(tokenObjective))
        configuration.recording.scope = trains && reuses ? scope : .none
        configuration.recording.selection = selection.meaning
        configuration.recording.plan = plans.recorded
        configuration.recording.precision = precision
        configuration.training.offloadsActivations = offloadsActivations && trains && !reuses && !isSeparate
        configuration.training.activationsAhead = activationsAhead
        configuration.recording.prefetchLayers = prefetch
        configuration.recording.offload = offload
        configuration.recording.backpressure = backpressure
        configuration.recording.granule = granule
        configuration.recording.headroom = .share(headroom)
        configuration.recording.hostEviction = hostEviction
        configuration.recording.onPrefixHit = onPrefixHit
        configuration.recording.pause = pause
        configuration.recording.evictsPrefixCache = evictsCache
        configuration.recording.keepFor = SimDuration(nanoseconds: Int64(keepFor))
        let least = MemoryRequirement(configuration: configuration, trace: trace, demand: demand)
        let largest = least.largestKV.count / least.kvBlock.count
        if let spareBlocks {
            configuration.serving.kvMemory = .bytes(least.kvBlock * max(1, largest + spareBlocks))
        }
        let auto = max(least.device, least.deviceForEveryRequest + least.kvBlock * min(0, spareBlocks ?? 0))
        configuration.device.memory = max(auto + least.kvBlock * spareDevice, least.trainerDevice)
        configuration.device.hostMemory = least.host + least.kvBlock * spareHost
        return configuration
    }
}

extension ServingCase.Item: CustomStringConvertible {
    var description: String {
        var parts = ["gap: \(gap)", "user: \(user)", "output: \(output)"]
        if let after { parts.append("after: \(after)") }
        if think != 0 { parts.append("think: \(think)") }
        if priority != 0 { parts.append("priority: \(priority)") }
        if let feedback { parts.append("feedback: \(feedback)") }
        if kind != .sft { parts.append("kind: .\(kind)") }
        if other != 3 { parts.append("other: \(other)") }
        return ".init(" + parts.joined(separator: ", ") + ")"
    }
}

extension ServingCase.Item {
    /// A pair prefers the answer that was not served; a group has two more answers.
    fileprivate var signal: Feedback.Signal {
        let answer = Feedback.Answer(count: other)
        return switch kind {
        case .sft: .sft()
        case .dpo: .dpo(.chosen(answer))
        case .group:
            .group(
                weight: 1,
                others: [.init(answer: answer, weight: -0.5), .init(answer: .init(count: other + 2), weight: -0.5)])
        }
    }
}

extension ServingCase.Selection {
    fileprivate var meaning: RecordSelection {
        switch self {
        case .all: .all
        case .half: .fraction(0.5)
        case .predicted: .expectedFeedback(recall: 0.9, precision: 0.8)
        }
    }
}
