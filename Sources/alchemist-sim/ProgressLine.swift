import AlchemistSim
import Foundation
import Simulator

/// One line on standard error that says what runs, how far it is, how fast it goes and when it will be done. Silent
/// unless standard error is a terminal.
final class ProgressLine {
    private let isShown: Bool
    private var stage: RunProgress.Stage?
    private var stageStart = Date()
    private var lastShown = Date.distantPast

    init(isShown: Bool) { self.isShown = isShown && Terminal.errorIsTerminal }

    func show(_ progress: RunProgress) {
        guard isShown else { return }
        let now = Date()
        if progress.stage != stage {
            stage = progress.stage
            stageStart = now
            lastShown = .distantPast
        }
        guard now.timeIntervalSince(lastShown) >= 0.1 else { return }
        lastShown = now
        Terminal.warn("\r\u{1B}[K" + text(progress, elapsed: now.timeIntervalSince(stageStart)))
    }

    func clear() {
        if isShown { Terminal.warn("\r\u{1B}[K") }
    }

    private func text(_ progress: RunProgress, elapsed: Double) -> String {
        switch progress.stage {
        case .loading: return "reading the model"
        case .calibrating: return "warming up and calibrating"
        case .pairing(let arm): return "\(arm): replaying over common costs"
        case .running(let arm, let round, let rounds):
            let repeats = rounds > 1 ? " (\(round + 1)/\(rounds))" : ""
            let rate = elapsed > 0 ? Double(progress.finished) / elapsed : 0
            let left = rate > 0 ? Double(progress.requests - progress.finished) / rate : 0
            let eta = rate > 0 ? ", \(left.formatted(decimals: 0)) s left" : ""
            return "\(arm)\(repeats): \(progress.finished)/\(progress.requests) requests, "
                + "\(rate.formatted(decimals: 1))/s\(eta)"
        }
    }
}
