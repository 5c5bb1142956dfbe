import AlchemistSim
import Engine
import Foundation
import Simulator
import Synchronization

/// What ends the program where nothing can be thrown: a law that is broken in the middle of a decision, and memory that the
/// system does not give.
enum SuddenEnd {
    private static let results = Mutex<String?>(nil)

    /// Where the present run's results would go.
    static func results(are path: String) { results.withLock { $0 = path } }

    static func install() {
        Law.onBreak { law, history in
            let results = results.withLock { $0 }
            removeRemains()
            let broken = BrokenLaw(law: law, state: history)
            Terminal.fail("\(broken); \(broken.save(beside: results))", .software)
        }
        SystemResource.onRefusal { resource in
            removeRemains()
            let lacking =
                switch resource {
                case .memory(let bytes): "\(Bytes(bytes)) of memory"
                case .thread: "one more thread"
                }
            Terminal.fail(
                "the system does not give this process \(lacking), which it needs: see ulimit -a", .inputOutput)
        }
    }

    private static func removeRemains() {
        if let results = results.withLock({ $0 }) { BrokenLaw.removeRemains(of: results) }
    }
}
