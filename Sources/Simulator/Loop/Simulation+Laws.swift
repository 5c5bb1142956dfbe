extension Simulation {
    /// The laws that every complete run keeps, checked after each one.
    func checkFinalLaws() throws(SimulationError) {
        func law(_ holds: Bool, _ text: @autoclosure () -> String) throws(SimulationError) {
            if !holds { throw .brokenLaw(text()) }
        }
        try law(
            scheduler.isEmpty, "\(scheduler.running.count) requests run and \(scheduler.waitingCount) wait at the end")
        let open = log.requests.filter { $0.outcome == .unfinished }
        try law(open.isEmpty, "\(open.count) requests are neither finished nor refused at the end")
        try law(!trainer.hasWork, "the trainer still has work at the end")
        try law(memory.copiesAreIdle, "copies are still under way at the end")
        try law(memory.records.liveChunks == 0, "\(memory.records.liveChunks) record chunks are left at the end")
        try law(memory.kv.liveBlocks == 0, "\(memory.kv.liveBlocks) KV blocks are left at the end")
        for owner in MemoryOwner.allCases where owner.isTransient {
            let left = memory.ledger.level(of: owner, on: .device) + memory.ledger.level(of: owner, on: .host)
            try law(left == .zero, "\(owner.name) still holds \(left.count) bytes at the end")
        }
        for request in log.requests where request.outcome == .finished {
            guard let arrival = request.effectiveArrival, let scheduled = request.scheduled,
                let first = request.firstToken, let finish = request.finish
            else { throw .brokenLaw("request \(request.index) finished without all of its times") }
            try law(
                arrival <= scheduled && scheduled < first && first <= finish,
                "request \(request.index): its times are out of order")
        }
        let gaps = log.requests.reduce(0) {
            $0 + ($1.outcome == .finished ? trace.requests[$1.index].outputTokens - 1 : 0)
        }
        try law(log.tokenGaps.count == gaps, "\(log.tokenGaps.count) gaps between tokens, expected \(gaps)")
    }
}
