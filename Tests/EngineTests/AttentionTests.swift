import Engine
import Testing

/// What `AttentionCase` can not show: that misuse is noticed.
@Suite("Attention")
struct AttentionTests {
    @Test("K and V with a gap trap")
    func gap() async {
        await #expect(processExitsWith: .failure) {
            let floats = UnsafeMutablePointer<Float>.allocate(capacity: 64)
            let segments = [0, 5].map {
                KVSegment(keys: floats, values: floats, rowStride: 4, start: $0, count: 4)
            }
            segments.withUnsafeBufferPointer { _ = KVView($0).end }
        }
    }
}
