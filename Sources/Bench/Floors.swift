/// What the engine should reach at least with the 135M preset on two cores: fractions of the limit, the recorded prefill's
/// share of the plain one's rate, how far a reusing step may lie from what reuse promises, and what deciding may cost.
enum Floors {
    private static let fractions = [
        "prefill smollm2-135m 1x256": 0.65, "prefill smollm2-135m 1x1024": 0.80, "decode smollm2-135m 1x512": 0.75,
        "lora step smollm2-135m 1x256": 0.65, "lora step smollm2-135m 1x1024": 0.70,
        "full step smollm2-135m 1x256": 0.62, "full step smollm2-135m 1x1024": 0.75,
    ]
    private static let recording = 0.97
    private static let reuseTolerance = 0.05

    /// What is asked of a figure, in words, and whether it is met; nil where nothing is.
    static func verdict(on figure: Figure) -> (text: String, isMet: Bool)? {
        if let floor = fractions[figure.name], let fraction = figure.limitFraction {
            return (">= \(floor)", fraction >= floor)
        }
        if figure.name.hasPrefix("recording smollm2-135m") {
            return (">= \(recording)", figure.value >= recording)
        }
        if figure.name.hasPrefix("reuse"), figure.name.contains("smollm2-135m"), figure.name.hasSuffix("time") {
            return ("1 +- \(reuseTolerance)", abs(figure.value - 1) <= reuseTolerance)
        }
        if let running = SchedulingBenchmarks.batches.first(where: { figure.name == "scheduling \($0)" }) {
            let limit = SchedulingBenchmarks.limit(running: running)
            return ("<= \(limit)", figure.value <= limit)
        }
        return nil
    }
}
