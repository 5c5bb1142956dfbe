internal import Synchronization

/// The last events of a run, for whoever has to explain how it came where it is.
final class RecentEvents: Sendable {
    static let limit = 64

    private struct Ring {
        var events: [(time: SimTime, event: SimulationEvent)] = []
        var total = 0
    }

    private let ring = Mutex(Ring())

    func note(_ event: SimulationEvent, at time: SimTime) {
        ring.withLock { ring in
            if ring.events.count < Self.limit {
                ring.events.append((time, event))
            } else {
                ring.events[ring.total % Self.limit] = (time, event)
            }
            ring.total += 1
        }
    }

    /// One line for each, the last one at the end.
    var text: String {
        let (events, total) = ring.withLock { ring in
            let start = ring.events.count < Self.limit ? 0 : ring.total % Self.limit
            return (ring.events[start...] + ring.events[..<start], ring.total)
        }
        let lines = events.map { "  \($0.time.nanoseconds) ns  \($0.event)\n" }
        return "last \(events.count) of \(total) events\n" + lines.joined()
    }
}

extension SimulationEvent: CustomStringConvertible {
    var description: String {
        switch self {
        case .computeDone(let stream): "the \(stream)'s work is done"
        case .published(let version): "version \(version) has reached the server"
        case .copyDone(let direction, let started):
            "copy \(direction.name), begun at \(started.nanoseconds) ns, is done"
        case .copyReady: "the next copy can start"
        case .arrival(let request): "request \(request) arrives"
        case .feedback(let request): "feedback on request \(request)"
        case .recordExpiry(let request): "the record of request \(request) expires"
        }
    }
}
