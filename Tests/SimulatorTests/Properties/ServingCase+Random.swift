import Simulator

extension ServingCase {
    /// A case drawn from `stream`: most of them tight in memory, so that requests queue, are preempted, and find
    /// prefixes.
    static func random(_ stream: inout RandomStream) -> ServingCase {
        var drawn = ServingCase()
        drawn.ids = stream.below(3) == 0
        let mostGap = [1, 1, 2_000, 30_000][stream.below(4)]
        let mostOutput = [6, 14, 40][stream.below(3)]
        for index in 0..<1 + stream.below(9) {
            var item = Item()
            item.gap = stream.below(mostGap)
            item.user = 1 + stream.below(24)
            item.output = 1 + stream.below(mostOutput)
            if index > 0, stream.below(2) == 0 {
                let before = stream.below(index)
                if !drawn.items.contains(where: { $0.after == before }) { item.after = before }
            }
            item.think = stream.below(3) * 3_000
            item.priority = stream.below(3)
            if stream.below(3) > 0 { item.feedback = stream.below(20_000) }
            drawn.items.append(item)
        }
        drawn.budget = [1, 3, 8, 16, 64][stream.below(5)]
        drawn.batch = [1, 2, 4, 8, 8][stream.below(5)]
        drawn.block = [1, 2, 4, 8][stream.below(4)]
        drawn.policy = BatchPolicy.allCases[stream.below(3)]
        drawn.admission = AdmissionPolicy.allCases[stream.below(2)]
        drawn.preemption = PreemptionPolicy.allCases[stream.below(2)]
        drawn.prefixCache = stream.below(3) > 0
        drawn.acrossVersions = stream.below(3) == 0
        drawn.watermark = [0, 0, 0.01, 0.2][stream.below(4)]
        drawn.spareBlocks = [nil, -3, 0, 1, 2, 4, 8][stream.below(7)]
        drawn.spareDevice = [0, 2, 10, 1_000][stream.below(4)]
        drawn.spareHost = [0, 3, 1_000][stream.below(3)]
        drawn.bandwidth = [1e8, 1e9, 1e11][stream.below(3)]
        drawn.trains = stream.below(2) == 0
        drawn.reuses = stream.below(3) > 0
        drawn.scope = stream.below(2) == 0 ? .prefill : .all
        drawn.offload = RecordingConfiguration.Offload.allCases[stream.below(4)]
        drawn.backpressure = RecordingConfiguration.Backpressure.allCases[stream.below(2)]
        drawn.granule = RecordingConfiguration.Granule.allCases[stream.below(3)]
        drawn.headroom = [0.1, 0.5, 1][stream.below(3)]
        drawn.hostEviction = RecordingConfiguration.HostEviction.allCases[stream.below(3)]
        drawn.updateEvery = 1 + stream.below(3)
        drawn.lossOnAll = stream.below(3) == 0
        drawn.onPrefixHit = RecordingConfiguration.PrefixHit.allCases[stream.below(2)]
        drawn.pause = stream.below(4) == 0 ? .waiting : .never
        drawn.staleness = [nil, nil, 0, 1][stream.below(4)]
        drawn.keepFor = [2_000, 1_000_000][stream.below(2)]
        drawn.drawTraining(&stream)
        drawn.evictsCache = stream.below(2) == 0
        drawn.precision = PiecePrecision.allCases[stream.below(4)]
        drawn.offloadsActivations = stream.below(2) == 0
        drawn.activationsAhead = [0, 0, 1][stream.below(3)]
        return drawn
    }

    private mutating func drawTraining(_ stream: inout RandomStream) {
        for index in items.indices where stream.below(3) == 0 {
            items[index].kind = Feedback.Kind.allCases[stream.below(3)]
            items[index].other = 1 + stream.below(12)
        }
        selection = Selection.allCases[max(0, stream.below(5) - 2)]
        plan = [[.full], [.full], [.full], [.lean], [.boundary], [.lean, .full], [.boundary, .lean]][stream.below(7)]
        checkpointing = Checkpointing.allCases[stream.below(3)]
        prefetch = stream.below(3)
        sharedPrompts = stream.below(2) == 0
        isSeparate = stream.below(2) == 0
        sharing = [.idle, .slo, .share][stream.below(3)]
        // One objective at least, where the policy needs one.
        tokenObjective = [2_000, 20_000][stream.below(2)]
        firstTokenObjective = [0, 30_000][stream.below(2)]
        // Iterations are held back only where records leave no room and the link is slow.
        if backpressure == .stall, stream.below(2) == 0 { (spareDevice, bandwidth, plan) = (0, 1e8, [.full]) }
    }

    /// The smallest case that this one can be cut down to while `fails` holds.
    func shrunk(while fails: (ServingCase) -> Bool) -> ServingCase {
        var smallest = self
        var hasShrunk = true
        while hasShrunk {
            hasShrunk = false
            for candidate in smallest.smaller where candidate != smallest && fails(candidate) {
                smallest = candidate
                hasShrunk = true
                break
            }
        }
        return smallest
    }

    /// Cases a step simpler than this one, the boldest steps first.
    private var smaller: [ServingCase] {
        var cases = items.indices.reversed().compactMap(without)
        func add(_ change: (inout ServingCase) -> Void) {
            var changed = self
            change(&changed)
            cases.append(changed)
        }
        let defaults = ServingCase()
        add { $0.trains = false }
        add { $0.reuses = false }
        add { $0.scope = .prefill }
        add { $0.offload = .none }
        add { $0.backpressure = .drop }
        add { $0.granule = .layer }
        add { $0.headroom = defaults.headroom }
        add { $0.hostEviction = .none }
        add { $0.onPrefixHit = .link }
        add { $0.pause = .never }
        add { $0.staleness = nil }
        add { $0.prefixCache = false }
        add { $0.acrossVersions = false }
        add { $0.ids = false }
        add { $0.policy = .chunked }
        add { $0.admission = .fcfs }
        add { $0.preemption = .recompute }
        add { $0.watermark = 0 }
        add { $0.spareBlocks = nil }
        add { $0.spareDevice = 1_000 }
        add { $0.spareHost = 1_000 }
        add { $0.bandwidth = defaults.bandwidth }
        add { $0.budget = 64 }
        add { $0.batch = 8 }
        add { $0.block = 4 }
        add { $0.updateEvery = 1 }
        add { $0.lossOnAll = false }
        add { $0.keepFor = defaults.keepFor }
        add { $0.selection = .all }
        add { $0.plan = [.full] }
        add { $0.checkpointing = .selective }
        add { $0.prefetch = 1 }
        add { $0.sharedPrompts = false }
        add { $0.isSeparate = false }
        add {
            $0.sharing = .idle
            ($0.firstTokenObjective, $0.tokenObjective) = (0, 0)
        }
        add { $0.firstTokenObjective = 0 }
        add { $0.evictsCache = false }
        add { $0.precision = .own }
        add { $0.offloadsActivations = false }
        add { $0.activationsAhead = 1 }
        for index in items.indices {
            add { $0.items[index].feedback = nil }
            add { ($0.items[index].kind, $0.items[index].other) = (.sft, 3) }
            add { $0.items[index].gap = 0 }
            add { $0.items[index].think = 0 }
            add { $0.items[index].priority = 0 }
            add { $0.items[index].user = ($0.items[index].user + 1) / 2 }
            add { $0.items[index].output = ($0.items[index].output + 1) / 2 }
            add { $0.items[index].user = max(1, $0.items[index].user - 1) }
            add { $0.items[index].output = max(1, $0.items[index].output - 1) }
        }
        return cases
    }

    /// The case without an item and the turns that follow it.
    private func without(_ index: Int) -> ServingCase? {
        var kept: [Int?] = []
        var changed = self
        changed.items = []
        for (place, item) in items.enumerated() {
            let isGone = place == index || item.after.map { kept[$0] == nil } ?? false
            kept.append(isGone ? nil : changed.items.count)
            guard !isGone else { continue }
            var item = item
            item.after = item.after.flatMap { kept[$0] }
            changed.items.append(item)
        }
        return changed.items.isEmpty ? nil : changed
    }
}
