internal import Simulator

extension RunReport {
    /// Where the run was ended, and how far each arm was, in words; nil of a run that was not interrupted.
    var interruption: String? {
        guard arms.contains(where: { $0.status != .complete }) else { return nil }
        return "interrupted: " + arms.map(\.progress).joined(separator: "; ")
    }
}

extension ArmReport {
    /// `reuse at 12.3 s of virtual time, 40 of 60 requests finished, 5 training steps`.
    fileprivate var progress: String {
        guard let last = repeats.last else { return "\(name) was not begun" }
        guard last.status == .interrupted else {
            return "\(name) is whole" + (repeats.count > 1 ? " \(repeats.count) times" : "")
        }
        var parts = ["\(name) at \(Figure.duration(last.wallSeconds)) of virtual time"]
        if repeats.count > 1 { parts[0] += " of repeat \(repeats.count)" }
        let serving = last.serving
        parts.append(
            "\(serving.finished) of \(serving.finished + serving.refused + serving.unfinished) requests finished")
        if let training = last.training { parts.append("\(training.steps) training steps") }
        return parts.joined(separator: ", ")
    }
}
