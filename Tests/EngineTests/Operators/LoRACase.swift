import Engine

/// Low-rank adapters of projections that read one input, forward and backward.
struct LoRACase: OperatorCase {
    let rows: Int
    let input: Int
    let rank: Int
    /// Width of each projection of the fused output.
    let widths: [Int]
    /// Projections that have an adapter.
    let adapted: [Int]
    var scale: Float = 2
    var fill = Fill.normal

    /// As `ProductCase`: backward products are `sgemm`'s.
    var isSameOnAnyWidth: Bool { false }
    var title: String { "LoRA \(rows) x \(input), rank \(rank), \(adapted) of \(widths), scale \(scale), \(fill)" }

    static let table: [any OperatorCase] = {
        var cases: [LoRACase] = []
        for rows in [1, 5, 17, 65, 130] {
            cases.append(LoRACase(rows: rows, input: 64, rank: 8, widths: [64, 32, 32], adapted: [0, 1, 2]))
            cases.append(LoRACase(rows: rows, input: 35, rank: 3, widths: [36, 12, 12], adapted: [0, 2], scale: 0.5))
            cases.append(LoRACase(rows: rows, input: 127, rank: 1, widths: [15], adapted: [0]))
        }
        cases.append(LoRACase(rows: 40, input: 576, rank: 16, widths: [1536, 1536], adapted: [1]))
        return cases
            + Fill.edges.map {
                LoRACase(rows: 6, input: 30, rank: 4, widths: [9, 20], adapted: [0, 1], fill: $0)
            }
    }()

    private var width: Int { widths.reduce(0, +) }
    private var members: [Range<Int>] {
        adapted.map { index in
            let start = widths[..<index].reduce(0, +)
            return start..<start + widths[index]
        }
    }
    private var x: [Double] { fill.values(rows * input, "x") }
    private var dy: [Double] { sample(rows * width, "dy") }
    private var before: [Double] { sample(rows * width, "y") }
    private var dxBefore: [Double] { sample(rows * input, "dx") }
    private func adapters(_ name: String) -> Oracle.Adapters {
        Oracle.Adapters(
            a: sample(adapted.count * rank * input, name + "A"),
            b: members.map { sample($0.count * rank, name + "B\($0)") }, columns: members, rank: rank,
            scale: Double(scale))
    }

    func compute(_ arena: inout Arena, _ pool: ThreadPool) -> [[Float]] {
        let group = group(adapters(""), &arena)
        let gradient = self.group(adapters("d"), &arena)
        let x = arena.matrix(x, columns: input, gap: 1)
        let y = arena.matrix(before, columns: width)
        let dy = arena.matrix(dy, columns: width)
        let dx = arena.matrix(dxBefore, columns: input)
        let inner = [0, 1].map { _ in arena.blank(rows, group.a.rows) }
        group.forward(x: x, y: y, inner: inner[0], pool: pool)
        group.backward(x: x, dy: dy, dx: dx, gradient: gradient, inner: inner[0], dInner: inner[1], pool: pool)
        return [arena.values(y), arena.values(dx), arena.values(gradient.a)]
            + gradient.members.map { arena.values($0.b) }
    }

    private func group(_ adapters: Oracle.Adapters, _ arena: inout Arena) -> LoRAGroup {
        let a = arena.matrix(adapters.a, columns: input)
        var members: [(b: Matrix, columns: Range<Int>)] = []
        for (b, columns) in zip(adapters.b, adapters.columns) {
            members.append((arena.matrix(b, columns: rank), columns))
        }
        return LoRAGroup(a: a, members: members, scale: scale, rank: rank)
    }

    func references() -> [Reference] {
        let adapters = adapters("")
        let before = self.adapters("d")
        let y = Oracle.lora(x, adapters, width: width)
        let ySizes = Oracle.lora(x.magnitudes, adapters.magnitudes, width: width)
        let gradients = Oracle.loraBackward(x, adapters, dy: dy, width: width)
        let sizes = Oracle.loraBackward(x.magnitudes, adapters.magnitudes, dy: dy.magnitudes, width: width)
        func added(
            _ name: String, _ before: [Double], _ values: [Double], _ sizes: [Double], _ rounding: Rounding
        ) -> Reference {
            Reference(
                name, zip(before, values).map(+), magnitudes: zip(before, sizes).map { abs($0) + $1 },
                rounding + .steps(4))
        }
        let widest = widths.max() ?? 0
        return [
            added("y", self.before, y, ySizes, .sum(input) + .sum(rank)),
            added("dx", dxBefore, gradients.dx, sizes.dx, .sum(widest) + .sum(adapted.count * rank)),
            added("dA", before.a, gradients.a, sizes.a, .sum(widest) + .sum(rows)),
        ]
            + adapted.indices.map { index in
                added("dB", before.b[index], gradients.b[index], sizes.b[index], .sum(input) + .sum(rows))
            }
    }
}

extension Oracle.Adapters {
    fileprivate var magnitudes: Oracle.Adapters {
        Oracle.Adapters(
            a: a.magnitudes, b: b.map(\.magnitudes), columns: columns, rank: rank, scale: abs(scale))
    }
}
