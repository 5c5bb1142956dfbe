import Simulator
import Testing

@Suite struct LearningRateScheduleTests {
    @Test(arguments: LearningRateSchedule.Shape.allCases, [0, 1, 7]) func risesToThePeakAndComesDown(
        shape: LearningRateSchedule.Shape, warmup: Int
    ) {
        let schedule = LearningRateSchedule(shape, warmup: warmup, steps: 40)
        let factors = (0..<60).map(schedule.factor)
        #expect(factors.allSatisfy { $0 > 0 && $0 <= 1 })
        #expect(factors[warmup] == 1)
        for step in 0..<warmup { #expect(factors[step] < factors[step + 1]) }
        let down = factors[warmup..<40]
        if shape == .constant {
            #expect(factors[warmup...].allSatisfy { $0 == 1 })
        } else {
            #expect(zip(down, down.dropFirst()).allSatisfy { $0 > $1 })
            #expect(factors[39...].allSatisfy { abs($0 - LearningRateSchedule.floor) < 1e-12 })
        }
    }

    @Test func halfWayDownShapesAgreeAndBeforeItTheCosineIsHigher() {
        let linear = LearningRateSchedule(.linear, steps: 41)
        let cosine = LearningRateSchedule(.cosine, steps: 41)
        #expect(abs(linear.factor(at: 20) - 0.55) < 1e-12 && abs(cosine.factor(at: 20) - 0.55) < 1e-12)
        #expect(cosine.factor(at: 5) > linear.factor(at: 5) && cosine.factor(at: 35) < linear.factor(at: 35))
    }

    /// What stands there of no step more than the peak and the end is still defined.
    @Test func aScheduleOfOneStepStaysAtThePeakOrBelow() {
        for shape in LearningRateSchedule.Shape.allCases {
            #expect((0..<5).allSatisfy { LearningRateSchedule(shape, steps: 1).factor(at: $0) > 0 })
        }
    }
}
