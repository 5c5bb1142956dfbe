import Simulator
import Testing

@Suite struct LossCourseTests {
    @Test func bytesLieInTheWindowOfTheirTime() {
        var course = LossCourse()
        for (bytes, reason, time) in [(3, .link, 99), (4, .evicted, 100), (5, .link, 199), (6, .link, 0)]
            as [(Int, LossReason, Int64)]
        {
            course.add(Bytes(bytes), because: reason, at: SimTime(nanoseconds: time * 1_000_000))
        }
        #expect(course.width == .milliseconds(100) && course.windows.count == 2)
        #expect(course.windows.map { $0[LossReason.link.rawValue] } == [9, 5])
        #expect(course.windows.map { $0[LossReason.evicted.rawValue] } == [0, 4])
        #expect(course[.link] == Bytes(14) && course[.expired] == .zero)
    }

    /// A long run has wider windows, not more of them, and the same sums.
    @Test func aLongRunLosesNothing() {
        var course = LossCourse()
        for second in 0..<5000 {
            course.add(Bytes(second), because: .hostFull, at: SimTime(nanoseconds: Int64(second) * 1_000_000_000))
        }
        #expect(course.windows.count <= 4096 && course.width == .milliseconds(1600))
        #expect(course[.hostFull] == Bytes(4999 * 2500))
        // Seconds 0 and 1, the next two from 1.6 s on, then one or two in each window.
        #expect(course.windows.prefix(3).map { $0[LossReason.hostFull.rawValue] } == [0 + 1, 2 + 3, 4])
    }

    @Test func onlyWantOfRoomIsDropped() {
        var totals = RecordingTotals()
        for (index, reason) in LossReason.allCases.enumerated() {
            totals.lose(Bytes(1 << index), because: reason, at: .zero)
        }
        let expected = LossReason.allCases.filter(\.isWant).reduce(0) { $0 + 1 << $1.rawValue }
        #expect(totals.droppedBytes == Bytes(expected))
    }
}
