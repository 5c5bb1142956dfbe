import Simulator
import Testing

@Suite struct FeedbackConfigurationTests {
    @Test(arguments: [0, 0.25, 1]) func hasItsRateAndDelay(rate: Double) {
        var configuration = FeedbackConfiguration()
        configuration.rate = rate
        configuration.meanDelay = .milliseconds(40)
        let ids = (0..<20_000).map { "request \($0)" }
        let given = ids.compactMap { configuration.feedback(for: $0, seed: 6) }
        let share = Double(given.count) / 20_000
        #expect(abs(share - rate) <= 4 * (rate * (1 - rate) / 20_000).squareRoot())
        guard !given.isEmpty else { return }
        let mean = given.reduce(0) { $0 + $1.delay.seconds } / Double(given.count)
        #expect(abs(mean / 0.040 - 1) < 4 / Double(given.count).squareRoot())
    }

    /// The answer depends on the request and the seed alone, and a higher rate only adds feedback.
    @Test func dependsOnNothingElse() {
        let configuration = FeedbackConfiguration()
        let ids = (0..<500).map { "r\($0)" }
        let forward = ids.map { configuration.feedback(for: $0, seed: 1) }
        let backward = ids.reversed().map { configuration.feedback(for: $0, seed: 1) }
        #expect(forward == backward.reversed())
        #expect(forward != ids.map { configuration.feedback(for: $0, seed: 2) })
        var generous = configuration
        generous.rate = 0.9
        for (id, feedback) in zip(ids, forward) where feedback != nil {
            #expect(generous.feedback(for: id, seed: 1) == feedback)
        }
    }
}
