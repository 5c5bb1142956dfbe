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
            (7, 0x1p33, 10_000, 10_001), (1000, 8e9, 100, 225), (1, 1e3, 0, 1_000_000),
        ] as [(Int, Double, Int64, Int64)])
    func takesLatencyAndTransfer(bytes: Int, bandwidth: Double, latency: Int64, expected: Int64) {
        var engine = CopyEngine(
            direction: .toHost, bandwidth: bandwidth, latency: SimDuration(nanoseconds: latency))
        engine.enqueue([job(0)], at: .zero)
        #expect(Self.started(engine.startNext(at: .zero) { _ in Bytes(bytes) })?.duration.nanoseconds == expected)
    }

    private static func started(_ start: CopyEngine.Start) -> (entry: CopyEngine.Entry, duration: SimDuration)? {
        guard case .started(let entry, let duration) = start else { return nil }
        return (entry, duration)
    }

    /// Several pieces in one transfer pay one latency; those that nobody wants any more are left out of it.
    @Test func aTransferOfSeveralPiecesPaysOneLatency() {
        var engine = CopyEngine(direction: .toHost, bandwidth: 1e9, latency: SimDuration(nanoseconds: 7))
        engine.enqueue([job(1), job(2), job(3)], at: .zero)
        let started = Self.started(
            engine.startNext(at: .zero) { $0.chunk.slot == 2 ? .zero : Bytes(Int($0.chunk.slot) * 10) })
        #expect(started?.duration == SimDuration(nanoseconds: 7 + 10 + 30))
        #expect(started?.entry.jobs == [job(1), job(3)] && started?.entry.bytes == Bytes(40))
    }

    /// What does not exist yet is waited for, and so is all behind it.
    @Test func aTransferStartsWhenWhatItCopiesExists() {
        var engine = CopyEngine(direction: .toHost, bandwidth: 1e9, latency: .zero)
        engine.enqueue([job(0)], at: .zero, ready: SimTime(nanoseconds: 50))
        engine.enqueue([job(1)], at: .zero)
        guard case .waits(let time) = engine.startNext(at: SimTime(nanoseconds: 49), bytes: { _ in Bytes(1) }) else {
            Issue.record("it started before there was anything to copy")
            return
        }
        #expect(time.nanoseconds == 50 && engine.current == nil)
        #expect(Self.started(engine.startNext(at: time) { _ in Bytes(1) })?.entry.jobs == [job(0)])
    }

    /// Somebody waits for a sequence: its copy goes before those of records, but interrupts none.
    @Test func sequencesGoBeforeRecords() {
        var engine = CopyEngine(direction: .toHost, bandwidth: 1e9, latency: .zero)
        for number in 0..<2 { engine.enqueue([job(number)], at: .zero) }
        engine.enqueue([job(2)], at: .zero, ready: SimTime(nanoseconds: 50))
        #expect(Self.started(engine.startNext(at: .zero) { _ in Bytes(1) })?.entry.jobs == [job(0)])
        for request in 7...8 { engine.enqueue(request: request, bytes: Bytes(9), at: .zero) }
        #expect(Self.started(engine.startNext(at: .zero) { _ in Bytes(1) }) == nil, "one is under way")
        var order: [CopyWork] = []
        for _ in 0..<3 {
            _ = engine.finish()
            if let started = Self.started(engine.startNext(at: .zero) { _ in Bytes(1) }) {
                order.append(started.entry.work)
            }
        }
        #expect(order == [.sequence(request: 7), .sequence(request: 8), .pieces([job(1)])])
        _ = engine.finish()
        engine.enqueue(request: 9, bytes: Bytes(9), at: .zero)
        let next = Self.started(engine.startNext(at: .zero) { _ in Bytes(1) })
        #expect(next?.entry.work == .sequence(request: 9), "what is not there yet holds nobody up")
        #expect(!engine.isIdle)
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
                engine.enqueue([job(number)], at: SimTime(nanoseconds: Int64(number)))
                queue.append(number)
                if stream.below(3) == 0 { unwanted.insert(number) }
            case 1:
                let started = Self.started(
                    engine.startNext(at: SimTime(nanoseconds: Int64(number))) {
                        unwanted.contains(Int($0.chunk.slot)) ? .zero : Bytes(Int($0.chunk.slot) + 1)
                    })
                guard running == nil else {
                    #expect(started == nil, "two copies at a time")
                    break
                }
                while let first = queue.first, unwanted.contains(first) { queue.removeFirst() }
                running = queue.isEmpty ? nil : queue.removeFirst()
                #expect(started?.entry.jobs == running.map { [job($0)] })
                #expect(started?.duration.nanoseconds == running.map { Int64($0 + 1) })
                #expect(started?.entry.queued.nanoseconds == running.map { Int64($0) })
            default:
                #expect(engine.finish()?.jobs == running.map { [job($0)] })
                running = nil
            }
            #expect(engine.current?.jobs == running.map { [job($0)] })
            #expect(engine.isIdle == (running == nil && queue.isEmpty))
        }
    }
}
