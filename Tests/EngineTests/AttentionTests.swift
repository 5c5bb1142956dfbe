import Engine
import Testing

/// Tiled attention against the oracle: forward, decode and backward, over lengths that miss and exceed the tiles, K and V
/// in several segments, and queries with gaps.
@Suite("Attention against its oracle")
struct AttentionTests {
    struct Case: CustomTestStringConvertible, Sendable {
        var heads = 4
        var kvHeads = 2
        var headSize = 16
        /// Keys of each segment.
        var segments: [Int]
        /// Positions of the queries; nil means one at every key.
        var queries: [Int]?
        /// Rows of each backward call, from the end.
        var unit = 10_000

        var keys: Int { segments.reduce(0, +) }
        var positions: [Int] { queries ?? Array(0..<keys) }
        var shape: AttentionShape { AttentionShape(heads: heads, kvHeads: kvHeads, headSize: headSize) }
        var testDescription: String {
            "\(heads)/\(kvHeads) x \(headSize), segments \(segments), queries \(queries?.count ?? keys), unit \(unit)"
        }
    }

    static let cases = [
        Case(segments: [1]),
        Case(segments: [2]),
        Case(heads: 3, kvHeads: 1, headSize: 6, segments: [17]),
        Case(heads: 2, kvHeads: 2, headSize: 64, segments: [70, 63]),
        Case(segments: [16, 16, 16, 16, 5]),
        Case(heads: 9, kvHeads: 3, headSize: 64, segments: [129], unit: 40),
        Case(heads: 2, kvHeads: 1, headSize: 8, segments: [300], unit: 100),
        Case(heads: 1, kvHeads: 1, headSize: 8, segments: [256, 1, 63], unit: 97),
        Case(segments: [100, 40], queries: [0, 5, 6, 99, 100, 139]),
        Case(segments: [300, 100], queries: Array(280..<400)),
        Case(segments: [40], queries: [39]),
        Case(heads: 9, kvHeads: 3, headSize: 64, segments: [16, 300, 7, 390], queries: [712]),
        Case(heads: 6, kvHeads: 2, headSize: 80, segments: [90], queries: [88]),
    ]

    let pool = ThreadPool(width: 2)

    @Test(arguments: cases)
    func attention(_ test: Case) {
        var arena = Arena()
        let shape = test.shape
        let positions = test.positions
        let rows = positions.count
        let input = Oracle.AttentionInput(
            q: sample(rows * shape.queryWidth, "q", deviation: 1.5), k: sample(test.keys * shape.keyWidth, "k"),
            v: sample(test.keys * shape.keyWidth, "v"), positions: positions, shape: shape)
        let dOutput = sample(input.q.count, "dOutput")
        let q = arena.matrix(input.q, columns: shape.queryWidth)
        let dOut = arena.matrix(dOutput, columns: shape.queryWidth)
        let k = arena.matrix(input.k, columns: shape.keyWidth)
        let v = arena.matrix(input.v, columns: shape.keyWidth)
        let o = arena.blank(rows, shape.queryWidth)
        let lse = arena.blank(rows, shape.heads)
        let projections = arena.blank(rows, shape.heads)
        let dq = (0..<Attention.queryGradientParts).map { _ in arena.blank(rows, shape.queryWidth) }
        let dk = arena.blank(test.keys, shape.keyWidth, 0)
        let dv = arena.blank(test.keys, shape.keyWidth, 0)
        let attention = Attention(shape: shape, pool: pool)

        var start = 0
        let segments = test.segments.map { count in
            defer { start += count }
            return KVSegment(
                keys: k.base + start * k.stride, values: v.base + start * v.stride, rowStride: k.stride, start: start,
                count: count)
        }
        segments.withUnsafeBufferPointer { segments in
            positions.map { Int32($0) }.withUnsafeBufferPointer { places in
                guard let places = places.baseAddress else { return }
                let view = KVView(segments)
                attention.forward(
                    q: q.asRows, o: o.asRows, lse: lse.asRows, positions: places,
                    spans: [AttentionSpan(rows: 0..<rows, kv: view)])
                attention.outputProjections(
                    dOutput: dOut.asRows, o: o.asRows, projections: projections.asRows, count: rows)
                let gradients = Attention.Gradients(
                    dOutput: dOut.asRows, projections: projections.asRows, dq: dq.map(\.asRows))
                for end in stride(from: rows, to: 0, by: -test.unit) {
                    attention.backward(
                        q: q.asRows, lse: lse.asRows, positions: places,
                        spans: [AttentionSpan(rows: max(0, end - test.unit)..<end, kv: view)], gradients: gradients,
                        dKeys: [dk], dValues: [dv])
                }
            }
        }
        let expected = Oracle.attention(input)
        expectClose(arena.values(o), expected.o, within: 1e-6, "o")
        expectClose(arena.values(lse), expected.lse, within: 1e-6, "lse")
        let gradient = Oracle.attentionBackward(input, dOutput: dOutput)
        let total = zip(arena.values(dq[0]), arena.values(dq[1])).map(+)
        // One visible key has probability one: gradients of q and k are zero up to cancellation, hence the floor.
        expectClose(total, gradient.dq, within: 2e-6, floor: 1, "dq")
        expectClose(arena.values(dk), gradient.dk, within: 2e-6, floor: 1, "dk")
        expectClose(arena.values(dv), gradient.dv, within: 2e-6, "dv")
        _ = arena.values(k) + arena.values(v) + arena.values(q) + arena.values(dOut)
    }

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
