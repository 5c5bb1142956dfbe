internal import HeapModule

/// Pending events, ordered by time, then by priority (lower first), then by insertion.
///
/// The order is total, so a run never depends on how a heap breaks ties.
public struct EventQueue<Payload> {
    private struct Entry: Comparable {
        let time: SimTime
        let priority: Int
        let sequence: UInt64
        let payload: Payload

        static func < (a: Entry, b: Entry) -> Bool {
            (a.time.nanoseconds, a.priority, a.sequence) < (b.time.nanoseconds, b.priority, b.sequence)
        }
        static func == (a: Entry, b: Entry) -> Bool { a.sequence == b.sequence }
    }

    private var heap = Heap<Entry>()
    private var inserted: UInt64 = 0

    /// The time of the last event taken out. Nothing may be scheduled before it.
    public private(set) var now = SimTime.zero

    public init() {}

    public var isEmpty: Bool { heap.isEmpty }
    public var count: Int { heap.count }
    public var nextTime: SimTime? { heap.min?.time }

    /// What is pending, in order.
    var pending: [(time: SimTime, payload: Payload)] { heap.unordered.sorted().map { ($0.time, $0.payload) } }

    public mutating func schedule(_ payload: Payload, at time: SimTime, priority: Int = 0) {
        Law.require(time >= now, "an event at \(time) would lie before the present, \(now)")
        heap.insert(Entry(time: time, priority: priority, sequence: inserted, payload: payload))
        inserted += 1
    }

    /// Moves `now` on to a time before the next event.
    public mutating func advance(to time: SimTime) {
        Law.require(
            time >= now && nextTime.map { time < $0 } ?? true, "\(time) is not between \(now) and the next event")
        now = time
    }

    /// Takes out the next event and moves `now` to its time.
    public mutating func popNext() -> (time: SimTime, payload: Payload)? {
        guard let entry = heap.popMin() else { return nil }
        now = entry.time
        return (entry.time, entry.payload)
    }
}
