extension Simulation {
    /// Most lines of each list.
    private static var listed: Int { 100 }

    /// Where a run stands, in words, for whoever looks for the reason of a broken law: time, ledger, requests, training,
    /// pending and last events. One `key value` or one thing a line.
    public func stateText() -> String {
        var text = "time \(now.nanoseconds) ns\n"
        text += "version trained \(trainer.version), served \(servedVersion)"
        text += publishing.map { ", on its way \($0)\n" } ?? "\n"
        text += "server \(Self.text(of: serverWork))\n"
        if hasTrainerDevice { text += "trainer \(Self.text(of: trainerWork))\n" }
        text += "\n" + ledgerText + "\n" + blocksText + "\n" + requestsText + "\n" + trainingText + "\n"
        let pending = events.pending
        text += Self.list("\(pending.count) pending events", pending) { "\($0.time.nanoseconds) ns  \($0.payload)" }
        return text + "\n" + recent.text
    }

    private static func list<Item>(_ title: String, _ items: [Item], _ line: (Item) -> String) -> String {
        var text = title + "\n" + items.prefix(listed).map { "  \(line($0))\n" }.joined()
        if items.count > listed { text += "  and \(items.count - listed) more\n" }
        return text
    }

    private static func text(of work: Work?) -> String {
        switch work {
        case .serving(let iteration, let outcome):
            "serves \(iteration.slices.count) slices of version \(iteration.version) for \(outcome.duration.nanoseconds) ns"
        case .training(let quantum, let outcome):
            "trains \(quantum.units.count) units of micro-batch \(quantum.microBatch.id) for "
                + "\(outcome.duration.nanoseconds) ns"
        case nil: "idle"
        }
    }

    private var ledgerText: String {
        var text = "ledger in bytes\n"
        for tier in MemoryTier.allCases where memory.ledger.capacity(of: tier) > .zero {
            text += "  \(tier.name): capacity \(memory.ledger.capacity(of: tier).count), free "
            text += "\(memory.ledger.free(on: tier).count)\n"
            for owner in MemoryOwner.allCases where memory.ledger.level(of: owner, on: tier) != .zero {
                text += "    \(owner.name) \(memory.ledger.level(of: owner, on: tier).count)\n"
            }
        }
        return text
    }

    private var blocksText: String {
        """
        kv blocks: \(memory.kv.liveBlocks) live, \(memory.kv.recordOnlyBlocks) of them records', \
        \(memory.kv.cachedBlocks) cached, at most \(memory.kv.capacity)
        records: \(memory.records.liveChunks) chunks, copies \(memory.copiesAreIdle ? "idle" : "under way")

        """
    }

    private var requestsText: String {
        let live = scheduler.liveSequences.sorted { $0.request < $1.request }
        return Self.list(
            "\(scheduler.runningCount) running, \(scheduler.waitingCount) waiting, \(openRequests) of "
                + "\(trace.requests.count) requests open", live
        ) {
            "request \($0.request) \($0.state): \($0.computed) of \($0.promptTokens) + \($0.outputTokens) tokens computed, "
                + "\($0.generated) generated, \($0.kvBlocks.count) blocks"
        }
    }

    private var trainingText: String {
        var text = "\(trainer.waiting) samples wait, \(pendingFeedback) feedbacks to come\n"
        guard let step = trainer.step else { return text + "no step is open\n" }
        text += "step of version \(step.record.version): \(step.record.samples) samples, "
        text += "\(step.closed.count) micro-batches closed, \(step.pending.count) to come\n"
        guard let open = step.open else { return text + "no micro-batch is open\n" }
        text += "micro-batch \(open.plan.id) is open: unit \(open.run.next) of \(open.run.units.count)"
        text += open.run.isDone ? "\n" : ", \(open.run.units[open.run.next])\n"
        return text
            + Self.list("  \(open.plan.sequences.count) sequences", open.plan.sequences) {
                "request \($0.request): \($0.tokens) tokens, \($0.reusedTokens) recorded"
            }
            + Self.list("  \(open.chunks.count) chunks", open.chunks) { "\($0.id), \($0.uses) uses" }
    }
}
