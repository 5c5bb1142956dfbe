import Simulator
import Testing

@Suite struct EventQueueTests {
    private struct Key: Comparable {
        var time: Int64
        var priority: Int
        var order: Int

        static func < (a: Key, b: Key) -> Bool { (a.time, a.priority, a.order) < (b.time, b.priority, b.order) }
    }

    /// Random insertions between random removals come out by time, priority and insertion, as from a sorted list.
    @Test(arguments: 0..<40) func comesOutByTimePriorityAndInsertion(seed: Int) {
        var stream = RandomStream(seed: UInt64(seed), name: "events")
        var queue = EventQueue<Int>()
        var pending: [Key] = []
        for order in 0..<400 {
            let time = queue.now.nanoseconds + Int64(stream.below(4))
            let priority = stream.below(3) - 1
            queue.schedule(order, at: SimTime(nanoseconds: time), priority: priority)
            pending.append(Key(time: time, priority: priority, order: order))
            for _ in 0..<stream.below(3) {
                guard let first = pending.min() else { break }
                #expect(queue.nextTime?.nanoseconds == first.time)
                let event = queue.popNext()
                #expect(event?.payload == first.order)
                #expect(event?.time.nanoseconds == first.time)
                #expect(queue.now.nanoseconds == first.time)
                pending.removeAll { $0 == first }
            }
            #expect(queue.count == pending.count)
        }
        let rest = pending.sorted().map(\.order)
        #expect(rest == rest.compactMap { _ in queue.popNext()?.payload })
        #expect(queue.isEmpty && queue.nextTime == nil && queue.popNext() == nil)
    }

    @Test func thePresentIsAllowed() {
        var queue = EventQueue<String>()
        queue.schedule("a", at: SimTime(nanoseconds: 5))
        _ = queue.popNext()
        queue.schedule("b", at: SimTime(nanoseconds: 5))
        #expect(queue.popNext()?.payload == "b")
        #expect(queue.now == SimTime(nanoseconds: 5))
    }

    @Test func thePastIsRefused() async {
        await #expect(processExitsWith: .failure) {
            var queue = EventQueue<Int>()
            queue.schedule(0, at: SimTime(nanoseconds: 5))
            _ = queue.popNext()
            queue.schedule(1, at: SimTime(nanoseconds: 4))
        }
    }
}
