import Simulator
import Testing

@Suite struct CopyEngineTests {
    private func job(_ number: Int) -> CopyJob {
        CopyJob(chunk: ChunkID(slot: Int32(number), generation: 0), layer: number % 3, part: .all)
    }

    /// Latency and bytes over bandwidth, rounded up to whole nanoseconds.
    @Test(
        arguments: [
            (1 << 30, 0x1p30, 0, 1_000_000_000), (1, 1e9, 0, 1), (1, 2e9, 0, 1), (3, 2e9, 0, 2), (4, 2e9, 5, 7),
            (7, 0x1p33, 10_000, 10_001), (0, 1e9, 250, 250), (1000, 8e9, 100, 225), (1, 1e3, 0, 1_000_000),
        ] as [(Int, Double, Int64, Int64)])
    func takesLatencyAndTransfer(bytes: Int, bandwidth: Double, latency: Int64, expected: Int64) {
        var engine = CopyEngine(
            direction: .toHost, bandwidth: bandwidth, latency: SimDuration(nanoseconds: latency))
        engine.enqueue(job(0), bytes: Bytes(bytes), at: .zero)
        #expect(engine.startNext { _ in true }?.duration.nanoseconds == expected)
    }

    /// One copy at a time, in the order of asking; unwanted ones are passed over without cost.
    @Test(arguments: 0..<20) func isFirstInFirstOutWithoutTheUnwanted(seed: Int) {
        var stream = RandomStream(seed: UInt64(seed), name: "copies")
        var engine = CopyEngine(direction: .toDevice, bandwidth: 1e9, latency: .zero)
        var queue: [Int] = []
        var running: Int?
        var unwanted: Set<Int> = []
        for number in 0..<300 {
            switch stream.below(3) {
            case 0:
                engine.enqueue(job(number), bytes: Bytes(number + 1), at: SimTime(nanoseconds: Int64(number)))
                queue.append(number)
                if stream.below(3) == 0 { unwanted.insert(number) }
            case 1:
                let started = engine.startNext { !unwanted.contains(Int($0.chunk.slot)) }
                guard running == nil else {
                    #expect(started == nil, "two copies at a time")
                    break
                }
                while let first = queue.first, unwanted.contains(first) { queue.removeFirst() }
                running = queue.isEmpty ? nil : queue.removeFirst()
                #expect(started?.entry.job == running.map(job))
                #expect(started?.duration.nanoseconds == running.map { Int64($0 + 1) })
                #expect(started?.entry.queued.nanoseconds == running.map { Int64($0) })
            default:
                #expect(engine.finish()?.job == running.map(job))
                running = nil
            }
            #expect(engine.current?.job == running.map(job))
            #expect(engine.isIdle == (running == nil && queue.isEmpty))
        }
    }
}
