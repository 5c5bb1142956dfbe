import Engine
import Testing

/// Records in fewer bits: what is stored, what comes back, and how a record is told from a wrong one.
@Suite("Rounded records")
struct RoundingTests {
    let pool = ThreadPool(width: 2)

    static let config = LawTests.model("grouped")

    /// Rows of very different sizes, some of them zero.
    static func fill(_ buffer: FloatBuffer, seed: UInt64) {
        NormalStream(seed: seed, name: "rounding").fill(buffer.floats, deviation: 1, mean: 0)
        for index in buffer.floats.indices {
            buffer.base[index] *= [1, 1e-3, 300, 0, 1e-30][index / 48 % 5]
        }
    }

    /// The nearest of the 256 values of a row with this largest magnitude, or the nearest bfloat16, in plain arithmetic.
    static func nearest(_ x: Float, largest: Float, _ precision: NarrowPrecision) -> Double {
        switch precision {
        case .bf16:
            guard x != 0 else { return 0 }
            let step = Double(sign: .plus, exponent: Double(x).exponent - 7, significand: 1)
            return (Double(x) / step).rounded(.toNearestOrEven) * step
        case .int8:
            guard largest > 0 else { return 0 }
            let scale = Double(largest / 127)
            return (Double(x) / scale).rounded(.toNearestOrEven) * scale
        }
    }

    private static func rows(_ block: ActivationBlock) -> [(width: Int, rows: Int, isExact: Bool)] {
        let config = Self.config
        var planes = [(width: config.hidden, rows: block.rows, isExact: false)]
        if block.plan.savesAttention {
            planes += [
                (config.queryWidth, block.queryRows, false), (config.queryWidth, block.queryRows, false),
                (config.heads, block.queryRows, true), (config.hidden, block.queryRows, false),
            ]
        }
        // Gate and up lie side by side in one row, and are rounded apart.
        if block.plan.savesGate { planes.append((config.intermediate, 2 * block.queryRows, false)) }
        return planes
    }

    @Test(
        "every row comes back as the nearest values that can be stored", arguments: NarrowPrecision.allCases,
        SavePlan.allCases)
    func roundTrip(precision: NarrowPrecision, plan: SavePlan) {
        for (rows, queryRows) in [(1, 1), (7, 7), (9, 2), (5, 0)] {
            let source = ActivationBlock(Self.config, rows: rows, queryRows: queryRows, plan: plan)
            Self.fill(source.buffer, seed: UInt64(rows))
            let layout = NarrowLayout.activations(Self.config, rows: rows, queryRows: queryRows, plan: plan, precision)
            let narrow = NarrowBlock(layout)
            narrow.store(source, pool: pool)
            let target = ActivationBlock(Self.config, rows: rows, queryRows: queryRows, plan: plan)
            narrow.load(rows: 0..<rows, to: target, pool: pool)
            var next = 0
            for plane in Self.rows(source) {
                for _ in 0..<plane.rows {
                    let row = next..<next + plane.width
                    next = row.upperBound
                    let largest = row.reduce(Float(0)) { max($0, abs(source.buffer.base[$1])) }
                    for index in row {
                        let (x, y) = (source.buffer.base[index], target.buffer.base[index])
                        if plane.isExact {
                            #expect(x == y)
                            continue
                        }
                        // Scales so small that their inverse is not finite stand for zero.
                        let expected = largest < 1e-36 ? 0 : Self.nearest(x, largest: largest, precision)
                        let step = precision == .bf16 ? Double(abs(x)) / 128 : Double(largest) / 127
                        // The quotient is a float, so a value half-way between two may go to either.
                        #expect(
                            abs(Double(y) - expected) <= 1e-5 * step
                                || abs(abs(Double(y) - Double(x)) - step / 2) <= 1e-4 * step)
                    }
                }
            }
            #expect(next == source.count)
        }
    }

    @Test("what is stored is stored again as it is", arguments: NarrowPrecision.allCases)
    func idempotence(precision: NarrowPrecision) {
        let source = FinalBlock(Self.config, rows: 10)
        Self.fill(source.buffer, seed: 4)
        let first = NarrowBlock(.final(Self.config, rows: 10, precision))
        first.store(source, pool: pool)
        let once = FinalBlock(Self.config, rows: 10)
        first.load(rows: 0..<10, to: once, pool: pool)
        let second = NarrowBlock(first.layout)
        second.store(once, pool: pool)
        let twice = FinalBlock(Self.config, rows: 10)
        second.load(rows: 0..<10, to: twice, pool: pool)
        for index in 0..<once.count {
            #expect(abs(once.buffer.base[index] - twice.buffer.base[index]) <= 1e-6 * abs(once.buffer.base[index]))
        }
    }

    @Test("ties go to even, the largest value stays, values that are not finite stay visible")
    func ties() {
        let source = FinalBlock(Self.config, rows: 3)
        // 1 + 1/256 lies half-way between two bfloat16, 1 + 3/256 as well; of 127 steps, 2.5 half-way between 2 and 3.
        for (index, value) in [1 + 0x1p-8, 1 + 0x3p-8, -1 - 0x1p-8].enumerated() {
            source.buffer.base[index] = Float(value)
        }
        for (index, value) in [127, 2.5, -3.5, -127].enumerated() { source.buffer.base[48 + index] = Float(value) }
        source.buffer.base[96] = .nan
        let target = FinalBlock(Self.config, rows: 3)
        let narrow = NarrowBlock(.final(Self.config, rows: 3, .bf16))
        narrow.store(source, pool: pool)
        narrow.load(rows: 0..<3, to: target, pool: pool)
        #expect(target.buffer.base[0] == 1 && target.buffer.base[1] == 1 + 0x1p-6 && target.buffer.base[2] == -1)
        #expect(!target.buffer.base[96].isFinite)
        let eight = NarrowBlock(.final(Self.config, rows: 3, .int8))
        eight.store(source, pool: pool)
        eight.load(rows: 0..<3, to: target, pool: pool)
        #expect((48..<52).map { target.buffer.base[$0] } == [127, 2, -4, -127])
        #expect(!target.buffer.base[96].isFinite)
    }

    @Test("parts of a block are loaded as the whole is", arguments: NarrowPrecision.allCases)
    func parts(precision: NarrowPrecision) {
        let source = ActivationBlock(Self.config, rows: 9, queryRows: 4)
        Self.fill(source.buffer, seed: 8)
        let narrow = NarrowBlock(.activations(Self.config, rows: 9, queryRows: 4, precision))
        narrow.store(source, pool: pool)
        let whole = ActivationBlock(Self.config, rows: 9, queryRows: 4)
        narrow.load(rows: 0..<9, to: whole, pool: pool)
        let part = ActivationBlock(Self.config, rows: 4, queryRows: 2)
        narrow.load(rows: 4..<8, to: part, pool: pool)
        let (h, q) = (Self.config.hidden, Self.config.queryWidth)
        for row in 0..<4 {
            for column in 0..<h {
                #expect(part.buffer.base[row * h + column] == whole.buffer.base[(row + 4) * h + column])
            }
        }
        // Rows 6 and 7 are the part's last two, and the whole's second and third of four with an output.
        for row in 0..<2 {
            for column in 0..<q {
                #expect(part.buffer.base[4 * h + row * q + column] == whole.buffer.base[9 * h + (row + 1) * q + column])
            }
        }
    }

    @Test("K and V are rounded row by row out of a block of all layers", arguments: NarrowPrecision.allCases)
    func keysAndValues(precision: NarrowPrecision) {
        let config = Self.config
        let source = KVBlock(config, capacity: 8)
        Self.fill(source.buffer, seed: 9)
        let narrow = NarrowBlock(.keysAndValues(config, rows: 5, precision))
        narrow.store(source, layer: 1, rows: 6..<8, at: 0, pool: pool)
        narrow.store(source, layer: 1, rows: 0..<3, at: 2, pool: pool)
        let target = KVBlock(config, capacity: 4, layers: 1)
        narrow.load(rows: 1..<5, to: target, pool: pool)
        let width = 2 * config.keyWidth
        for (row, origin) in [7, 0, 1, 2].enumerated() {
            let first = (8 + origin) * width
            for half in 0..<2 {
                let columns = half * config.keyWidth..<(half + 1) * config.keyWidth
                let largest = columns.reduce(Float(0)) { max($0, abs(source.buffer.base[first + $1])) }
                for column in columns {
                    let x = source.buffer.base[first + column]
                    let step = precision == .bf16 ? abs(x) / 128 : largest / 127
                    #expect(abs(target.buffer.base[row * width + column] - x) <= 0.5001 * step + 1e-30)
                }
            }
        }
    }

    /// Serving rounds what it records, alone in a batch or not, and computes the same whatever it records.
    @Test("serving stores the rounded record", arguments: NarrowPrecision.allCases, SavePlan.allCases)
    func serving(precision: NarrowPrecision, plan: SavePlan) {
        let config = Self.config
        let transformer = Transformer(config, pool: pool)
        let parameters = TestModels.parameters(config, .full, seed: 3)
        for lengths in [[20], [20, 13]] {
            func serve(_ record: (Int, Int, Int) -> Stored<ActivationBlock>, _ final: Stored<FinalBlock>) -> SliceRecord
            {
                let slices = lengths.enumerated().map { number, length in
                    ServingSlice(
                        tokens: ServingTests.text(length, config.vocabulary), start: 0,
                        kv: [KVSpan(KVBlock(config, capacity: length), count: length)],
                        record: number > 0
                            ? nil
                            : SliceRecord(
                                stored: (0..<config.layers).map {
                                    record($0, length, $0 + 1 < config.layers ? length : 3)
                                },
                                final: final), wantsLogits: true)
                }
                _ = transformer.forward(slices, parameters)
                return slices[0].record ?? SliceRecord(layers: [])
            }
            let plain = serve(
                { .plain(ActivationBlock(config, rows: $1, queryRows: $2, plan: plan)) },
                .plain(FinalBlock(config, rows: 3)))
            let rounded = serve(
                { .narrow(NarrowBlock(.activations(config, rows: $1, queryRows: $2, plan: plan, precision))) },
                .narrow(NarrowBlock(.final(config, rows: 3, precision))))
            for (a, b) in zip(plain.layers, rounded.layers) {
                guard let block = a?.plain, let narrow = b?.narrow else {
                    Issue.record("a layer has no record")
                    continue
                }
                let expected = NarrowBlock(narrow.layout)
                expected.store(block, pool: pool)
                #expect(Self.bytes(expected) == Self.bytes(narrow))
            }
            if let block = plain.final?.plain, let narrow = rounded.final?.narrow {
                let expected = NarrowBlock(narrow.layout)
                expected.store(block, pool: pool)
                #expect(Self.bytes(expected) == Self.bytes(narrow))
            }
        }
    }

    private static func bytes(_ block: NarrowBlock) -> [UInt8] {
        Array(UnsafeRawBufferPointer(start: block.buffer.base, count: block.byteCount))
    }

    /// The audit takes a value for the stored one only where rounding can have made that of it.
    @Test("a value settles on the stored one, a wrong one does not", arguments: NarrowPrecision.allCases)
    func settling(precision: NarrowPrecision) {
        let config = Self.config
        let source = FinalBlock(config, rows: 1)
        for column in 0..<config.hidden { source.buffer.base[column] = Float(column * 37 % 101) / 50 - 1 }
        let narrow = NarrowBlock(.final(config, rows: 1, precision))
        narrow.store(source, pool: pool)
        let stored = FinalBlock(config, rows: 1)
        narrow.load(rows: 0..<1, to: stored, pool: pool)
        // The same but for the last bits, and one value that is a step off.
        let wrong = 5
        for column in 0..<config.hidden {
            let nudge: Float = column.isMultiple(of: 2) ? 1 + 1e-6 : 1 - 1e-6
            source.buffer.base[column] *= nudge
        }
        source.buffer.base[wrong] *= 1.03
        let before = source.buffer.base[wrong]
        narrow.settle(source.buffer.base, plane: 0, row: 0, slack: 1e-5)
        for column in 0..<config.hidden where column != wrong {
            #expect(source.buffer.base[column] == stored.buffer.base[column])
        }
        let step: Float = precision == .bf16 ? abs(before) / 128 : 1 / 127
        #expect(source.buffer.base[wrong] != stored.buffer.base[wrong])
        #expect(abs(source.buffer.base[wrong] - before) <= 0.51 * step)
    }
}
