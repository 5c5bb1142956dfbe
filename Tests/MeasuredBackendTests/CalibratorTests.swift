import Engine
import MeasuredBackend
import Simulator
import Testing

@Suite struct CalibratorTests {
    /// Whole quanta can be observed again and again; operators by themselves stay as they were measured.
    @Test func quantaAreObservedAgain() throws {
        let engine = EngineContext(ModelConfig.presets[0], pool: ThreadPool(width: 2))
        let calibrator = Calibrator(
            engine, training: TrainingConfiguration(), serving: ServingConfiguration(), effort: .quick)
        let origin = HardwareProfile.Origin(cpu: "any", kernel: "any", threads: 2, date: "", model: "nano")
        var shares: [Double] = []
        let first = try calibrator.run(origin: origin, atSpeed: 1e-4) { shares.append($0) }
        #expect(first.probe == 1e-4)
        #expect(shares == shares.sorted() && shares.last == 1)

        var times = QuantumTimes()
        for _ in 0..<3 { times.add(try calibrator.observe(first)) }
        let again = first.corrected(by: times)
        #expect(again.products == first.products && again.passes == first.passes && again.probe == first.probe)
        #expect(Set(again.corrections.keys) == Set(WorkPhase.allCases))
        for (phase, correction) in again.corrections {
            #expect(correction.rows == first.corrections[phase]?.rows, "\(phase)")
            #expect(correction.contexts == first.corrections[phase]?.contexts, "\(phase)")
            #expect(correction.scales.allSatisfy { $0 > 0 && $0.isFinite } && correction.overhead >= 0, "\(phase)")
        }
        // The same observations on other corrections: those do not count.
        #expect(again.corrected(by: times).corrections == again.corrections)
    }

    /// A whole calibration has scales by context and by the rows of units, small ones included.
    @Test func aWholeCalibrationHasAllNodes() throws {
        let engine = EngineContext(ModelConfig.presets[0], pool: ThreadPool(width: 2))
        let (training, serving) = (TrainingConfiguration(), ServingConfiguration())
        let origin = HardwareProfile.Origin(cpu: "any", kernel: "any", threads: 2, date: "", model: "nano")
        let quick = try Calibrator(engine, training: training, serving: serving, effort: .quick).run(origin: origin)
        let whole = Calibrator(engine, training: training, serving: serving, effort: .full)
        let corrections = try whole.observe(quick).corrections
        let decode = try #require(corrections[.decode])
        #expect(decode.rows == [1, 2, 3, 4, 5, 8, 9, 12, 16, 24, 32] && decode.contexts.count == 3)
        #expect(decode.firstScales?.count == 33)
        let prefill = try #require(corrections[.prefill])
        #expect(prefill.rows.count == 11 && prefill.rows.last == serving.tokenBudget)
        for phase in [WorkPhase.forward, .backward] {
            #expect(Array(try #require(corrections[phase]).rows.prefix(4)) == [16, 32, 64, 128])
        }
        for correction in corrections.values { #expect(correction.scales.allSatisfy { $0 > 0 && $0.isFinite }) }
    }

    @Test func whatProgressThrowsEndsTheCalibration() {
        struct Enough: Error {}
        let engine = EngineContext(ModelConfig.presets[0], pool: ThreadPool(width: 1))
        let calibrator = Calibrator(
            engine, training: TrainingConfiguration(), serving: ServingConfiguration(), effort: .quick)
        let origin = HardwareProfile.Origin(cpu: "any", kernel: "any", threads: 1, date: "", model: "nano")
        #expect(throws: Enough.self) { try calibrator.run(origin: origin) { _ in throw Enough() } }
    }
}
