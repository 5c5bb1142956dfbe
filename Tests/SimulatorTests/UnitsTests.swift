import Simulator
import Testing

@Suite struct UnitsTests {
    @Test(
        arguments: [
            (0.0, 0), (-0.0, 0), (1e-9, 1), (0.4e-9, 0), (0.6e-9, 1), (-0.6e-9, -1), (1.5, 1_500_000_000),
            (1.234_567_890_4, 1_234_567_890), (1.234_567_890_6, 1_234_567_891), (-2, -2_000_000_000),
            (9e9, 9_000_000_000_000_000_000),
        ] as [(Double, Int64)])
    func secondsBecomeTheNearestNanosecond(seconds: Double, nanoseconds: Int64) {
        #expect(SimDuration(seconds: seconds)?.nanoseconds == nanoseconds)
    }

    @Test(arguments: [9.3e9, -9.3e9, 1e300, .infinity, -.infinity, .nan])
    func secondsThatDoNotFitAreRefused(seconds: Double) { #expect(SimDuration(seconds: seconds) == nil) }

    @Test func timeAndDurationAddUp() {
        let start = SimTime(nanoseconds: 7)
        let span = SimDuration.milliseconds(2)
        #expect((start + span).nanoseconds == 2_000_007)
        #expect((start + span) - start == span)
        #expect(start - (start + span) == SimDuration.zero - span)
        #expect(span.seconds == 0.002)
    }

    @Test(arguments: [
        (0, "0 B"), (1, "1 B"), (1023, "1023 B"), (-1023, "-1023 B"), (1024, "1.00 KiB"), (1536, "1.50 KiB"),
        (-1536, "-1.50 KiB"), (10 << 10, "10.0 KiB"), (100 << 10, "100 KiB"), (1 << 20, "1.00 MiB"),
        (3 << 29, "1.50 GiB"), (5 << 40, "5.00 TiB"), (7 << 50, "7.00 PiB"), (1 << 60, "1024 PiB"),
    ]) func bytesAreToldInBinaryUnits(count: Int, text: String) { #expect(Bytes(count).description == text) }

    /// No amount is told with more digits than its unit is worth, and none as 1024 of a unit that has a larger one.
    @Test(arguments: [
        (10 << 10) - 1, (100 << 10) - 1, (1 << 20) - 1, (10 << 20) - 1, (100 << 20) - 1, (1 << 30) - 1, (1 << 40) - 1,
    ]) func bytesBelowAStepAreToldLikeTheStep(count: Int) {
        #expect(Bytes(count).description == Bytes(count + 1).description)
    }

    @Test(
        arguments: [
            (1.25, 1, "1.3"), (-1.25, 1, "-1.3"), (0, 0, "0"), (-0.0, 2, "0.00"), (-0.001, 2, "0.00"),
            (9.999, 2, "10.00"),
            (-9.999, 2, "-10.00"), (0.05, 1, "0.1"), (0.04, 1, "0.0"), (123.456, 0, "123"), (0.5, 0, "1"),
            (99.5, 0, "100"), (0.007, 3, "0.007"), (1e15, 0, "1000000000000000"), (1e300, 2, "1e+300"),
            (.nan, 3, "nan"),
            (.infinity, 1, "inf"), (-.infinity, 1, "-inf"),
        ] as [(Double, Int, String)])
    func numbersAreFormatted(value: Double, decimals: Int, text: String) {
        #expect(value.formatted(decimals: decimals) == text)
    }
}
