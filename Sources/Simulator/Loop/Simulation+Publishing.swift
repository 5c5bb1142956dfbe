extension Simulation {
    /// The trainer has new weights. On a shared device serving reads them at once: nothing is in flight, and two buffers
    /// are swapped. From a device of its own they travel over the link first, while the trainer goes on.
    mutating func sendWeights(of version: Int) throws {
        try backend.advance(version: version)
        guard hasTrainerDevice else { return try receiveWeights(of: version) }
        publishing = version
        let link = configuration.device
        let seconds = Double(backend.footprint.published.count) / link.linkBandwidth
        let duration = link.linkLatency + SimDuration(nanoseconds: Int64((seconds * 1e9).rounded(.up)))
        events.schedule(.published(version), at: now + duration, priority: 1)
    }

    /// The next iteration is served with the weights of `version`.
    mutating func receiveWeights(of version: Int) throws {
        publishing = nil
        if let since = waitsForPublishSince {
            let wait = now - since
            trainer.step?.record.time.publish += wait
            waitsForPublishSince = nil
        }
        servedVersion = version
        scopePrefixCache()
        try flushMovements()
        try backend.publish(version: version)
        log.steps[version - 1].published = now
        backend.forgetVersions(before: oldestLiveVersion)
    }

    /// The optimizer writes into the buffer that the last weights leave from: it has to wait until they have arrived.
    mutating func waitsForPublish() -> Bool {
        guard publishing != nil, trainer.step?.closing != nil else { return false }
        if waitsForPublishSince == nil { waitsForPublishSince = now }
        return true
    }

    /// Notes which steps an iteration that has made a token is the first to show.
    mutating func noteServed(_ iteration: ServingIteration) {
        guard unservedStep < iteration.version, iteration.slices.contains(where: \.emitsToken) else { return }
        unservedStepsShow(by: iteration.version)
    }

    /// A token has been made with the weights of `version`.
    mutating func unservedStepsShow(by version: Int) {
        guard unservedStep < version else { return }
        for step in unservedStep..<version { log.steps[step].firstServed = now }
        unservedStep = version
    }

    /// The oldest version that any record, sequence or cached block still goes back to.
    private var oldestLiveVersion: Int {
        let records = memory.records.oldestVersion ?? servedVersion
        let running = scheduler.oldestKV ?? servedVersion
        let cached = memory.kv.cache.oldestVersion ?? servedVersion
        return min(records, running, cached, servedVersion)
    }
}
