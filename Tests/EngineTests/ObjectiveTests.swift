import Engine
import Foundation
import Testing

@Suite("Objectives against PyTorch in float64")
struct ObjectiveTests {
    /// What a case is run with.
    struct Setting: CustomTestStringConvertible, Sendable {
        let index: Int
        let layout: GoldenPass.Layout
        let plan: PassPlan
        let unit: Int

        var testDescription: String {
            "case \(index), \(layout), keeps \(plan.own) and \(plan.recorded(0)), unit \(unit)"
        }
    }

    static let plans = [
        PassPlan(), PassPlan(keepsDerived: true), PassPlan(own: .lean, recorded: [.lean, .lean]),
        PassPlan(own: .boundary, recorded: [.boundary, .boundary]),
    ]
    static let settings: [Setting] = (0..<4).flatMap { index in
        GoldenPass.Layout.allCases.flatMap { layout in
            plans.flatMap { plan in
                [512, 3].map { Setting(index: index, layout: layout, plan: plan, unit: $0) }
            }
        }
    }

    let file: GoldenFile
    let pool = ThreadPool(width: 2)

    init() throws { file = try GoldenFile("objectives") }

    @Test("loss and every gradient, completions apart or behind a shared prompt", arguments: settings)
    func golden(setting: Setting) throws {
        let golden = file.cases[setting.index]
        let pass = GoldenPass(golden.description, pool: pool)
        let result = try pass.run(setting.layout, setting.plan, unit: setting.unit)
        if setting.layout != .plain {
            let apart = golden.description.sequences.reduce(0) { $0 + $1.tokens.count }
            #expect(result.tokens < apart, "nothing is shared")
        }
        try result.expect(golden, "\(golden.description.title); if it changed on purpose, run: \(file.command)")
    }

    @Test("factors are the loss's derivatives, by finite differences")
    func factors() {
        let loss = PreferenceLoss(
            beta: 0.3,
            pairs: [
                .init(chosen: 0, rejected: 1), .init(chosen: 0, rejected: 2), .init(chosen: 3, rejected: 2),
            ], stepPairs: 5, reference: [-3, -2.5, -60, -1])
        for scores in [[-3, -2.5, -60, -1], [-2, -9, -4, -8.5], [-900, -1, -5, -3]] as [[Double]] {
            let slopes = centralDifferences(at: scores) { loss.evaluate($0).loss }
            for (factor, slope) in zip(loss.evaluate(scores).factors, slopes) {
                #expect(abs(Double(factor) + slope) < 1e-7)
            }
        }
        // Without a difference to the reference each pair costs log 2.
        #expect(abs(loss.evaluate(loss.reference).loss - 3 * log(2.0) / 5) < 1e-12)
    }
}
