import Foundation
import Simulator

/// One line on standard error: how many points are whole, how fast they come, when the last will. Silent, but for points
/// that fail, unless standard error is a terminal.
final class SweepProgress {
    private(set) var whole: Int
    /// Whether it is on a terminal.
    let isShown: Bool
    /// What else is to be said.
    var note = ""
    private let total: Int
    private let start = Date()
    private var done = 0
    private var failed = 0
    private var lastShown = Date.distantPast

    init(total: Int, whole: Int, isShown: Bool) {
        self.total = total
        self.whole = whole
        self.isShown = isShown && Terminal.errorIsTerminal
    }

    func count() {
        whole += 1
        done += 1
        show()
    }

    /// Points that are whole by now, counted by somebody else.
    func set(whole count: Int) {
        done += count - whole
        whole = count
        show()
    }

    func fail(_ message: String) {
        failed += 1
        done += 1
        clear()
        Terminal.warn("alchemist-sim: \(message)\n")
        show()
    }

    func show() {
        let now = Date()
        guard isShown, now.timeIntervalSince(lastShown) >= 0.1 else { return }
        lastShown = now
        Terminal.warn("\r\u{1B}[K" + text(after: now.timeIntervalSince(start)))
    }

    /// `12/40 points, 1 failed, 2.0/s, 14 s left`.
    var text: String { text(after: Date().timeIntervalSince(start)) }

    private func text(after elapsed: Double) -> String {
        let rate = elapsed > 0 ? Double(done) / elapsed : 0
        let left = rate > 0 ? Double(total - whole - failed) / rate : 0
        let failures = failed > 0 ? ", \(failed) failed" : ""
        let eta = rate > 0 ? ", \(rate.formatted(decimals: 1))/s, \(SweepEstimate.time(left)) left" : ""
        return "\(whole)/\(total) points\(failures)\(eta)" + (note.isEmpty ? "" : "; \(note)")
    }

    func clear() {
        if isShown { Terminal.warn("\r\u{1B}[K") }
    }
}
