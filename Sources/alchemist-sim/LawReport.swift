import AlchemistSim
import Foundation
import Simulator
import Synchronization

/// Says of a law that is broken in the middle of a decision, where nothing can be thrown, what can be said, and ends the
/// program as any broken law does.
enum LawReport {
    private static let results = Mutex<String?>(nil)

    /// Where the present run's results would go.
    static func results(are path: String) { results.withLock { $0 = path } }

    static func install() {
        Law.onBreak { law, history in
            let results = results.withLock { $0 }
            if let results { BrokenLaw.removeRemains(of: results) }
            let broken = BrokenLaw(law: law, state: history)
            Terminal.fail("\(broken); \(broken.save(beside: results))", .software)
        }
    }
}
