// Vector helpers for the kernels: sixteen floats at a time, explicit accumulators.
//
// Forms that look alike differ a hundredfold here: `addingProduct` is one instruction, but `.rounded()`,
// `.clamped()`, `SIMD16<Int32>(floats)` and `.sum()` are loops over scalars, so none of them appears below.

package typealias Lanes = SIMD16<Float>

extension Lanes {
    @inline(__always)
    init(at pointer: UnsafePointer<Float>) {
        self = UnsafeRawPointer(pointer).loadUnaligned(as: Lanes.self)
    }

    @inline(__always)
    func store(at pointer: UnsafeMutablePointer<Float>) {
        UnsafeMutableRawPointer(pointer).storeBytes(of: self, as: Lanes.self)
    }

    /// The sum of the lanes, by halving.
    @inline(__always)
    var total: Float {
        (lowHalf + highHalf).total
    }

    /// The largest lane, by halving.
    @inline(__always)
    var largest: Float {
        let eight = lowHalf.replacing(with: highHalf, where: highHalf .> lowHalf)
        let four = eight.lowHalf.replacing(with: eight.highHalf, where: eight.highHalf .> eight.lowHalf)
        return Swift.max(Swift.max(four.x, four.y), Swift.max(four.z, four.w))
    }

    @inline(__always)
    func larger(_ other: Lanes) -> Lanes { replacing(with: other, where: other .> self) }

    /// Lanes `0..<count` kept, the others set to zero.
    @inline(__always)
    func keeping(_ count: Int) -> Lanes {
        replacing(with: 0, where: Self.indices .>= SIMD16<Int32>(repeating: Int32(truncatingIfNeeded: count)))
    }

    private static var indices: SIMD16<Int32> {
        SIMD16<Int32>(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
    }
}

/// Half of the lanes.
typealias Half = SIMD8<Float>

extension Half {
    @inline(__always)
    init(at pointer: UnsafePointer<Float>) {
        self = UnsafeRawPointer(pointer).loadUnaligned(as: Half.self)
    }

    @inline(__always)
    func store(at pointer: UnsafeMutablePointer<Float>) {
        UnsafeMutableRawPointer(pointer).storeBytes(of: self, as: Half.self)
    }

    /// The sum of the lanes, by halving.
    @inline(__always)
    var total: Float {
        let four = lowHalf + highHalf
        let two = four.lowHalf + four.highHalf
        return two.x + two.y
    }
}

/// e to the power of each lane, to 1.25 units in the last place over [-87, 88]; arguments beyond are clamped.
///
/// Cody-Waite: x = n ln 2 + r with |r| <= ln 2 / 2, a polynomial for e^r, then n is added to the exponent field.
/// Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits. Polynomial: Cephes `expf`.
@inline(__always)
package func exponential(_ argument: Lanes) -> Lanes {
    let magic = Lanes(repeating: 12_582_912)
    var x = argument
    x.replace(with: -87, where: x .< -87)
    x.replace(with: 88, where: x .> 88)
    let shifted = magic.addingProduct(x, Lanes(repeating: 1.442_695_04))
    let whole = shifted - magic
    let rest = x.addingProduct(whole, Lanes(repeating: -0.693_359_375))
        .addingProduct(whole, Lanes(repeating: 2.121_944_4e-4))
    var series = Lanes(repeating: 1.987_569_15e-4)
    series = Lanes(repeating: 1.398_199_95e-3).addingProduct(series, rest)
    series = Lanes(repeating: 8.333_451_9e-3).addingProduct(series, rest)
    series = Lanes(repeating: 4.166_579_6e-2).addingProduct(series, rest)
    series = Lanes(repeating: 1.666_666_55e-1).addingProduct(series, rest)
    series = Lanes(repeating: 5.000_000_1e-1).addingProduct(series, rest)
    let power = (rest + 1).addingProduct(series, rest * rest)
    let exponent = unsafeBitCast(shifted, to: SIMD16<Int32>.self) &<< 23
    return unsafeBitCast(unsafeBitCast(power, to: SIMD16<Int32>.self) &+ exponent, to: Lanes.self)
}

/// The same for one float, so that tails round as the vectors do.
@inline(__always)
func exponential(_ argument: Float) -> Float { exponential(Lanes(repeating: argument))[0] }

package enum Vector {
    /// Sum of a[i] b[i].
    ///
    /// In four sums of eight floats, not in two of sixteen: where memory is the limit, a Zen 4 is up to a quarter faster with
    /// them (experiments/LOG.md).
    @inline(__always)
    package static func dot(_ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ count: Int) -> Float {
        var (first, second, third, fourth) = (Half.zero, Half.zero, Half.zero, Half.zero)
        var index = 0
        while index + 32 <= count {
            first.addProduct(Half(at: a + index), Half(at: b + index))
            second.addProduct(Half(at: a + index + 8), Half(at: b + index + 8))
            third.addProduct(Half(at: a + index + 16), Half(at: b + index + 16))
            fourth.addProduct(Half(at: a + index + 24), Half(at: b + index + 24))
            index += 32
        }
        while index + 8 <= count {
            first.addProduct(Half(at: a + index), Half(at: b + index))
            index += 8
        }
        var sum = ((first + second) + (third + fourth)).total
        while index < count {
            sum += a[index] * b[index]
            index += 1
        }
        return sum
    }

    /// y[i] += scale x[i].
    @inline(__always)
    package static func add(
        _ x: UnsafePointer<Float>, times scale: Float, to y: UnsafeMutablePointer<Float>, _ count: Int
    ) {
        let factor = Lanes(repeating: scale)
        var index = 0
        while index + 16 <= count {
            Lanes(at: y + index).addingProduct(factor, Lanes(at: x + index)).store(at: y + index)
            index += 16
        }
        while index < count {
            y[index] += scale * x[index]
            index += 1
        }
    }

    /// y[i] = scale x[i]; x and y may be the same.
    @inline(__always)
    package static func scale(
        _ x: UnsafePointer<Float>, by scale: Float, to y: UnsafeMutablePointer<Float>, _ count: Int
    ) {
        let factor = Lanes(repeating: scale)
        var index = 0
        while index + 16 <= count {
            (Lanes(at: x + index) * factor).store(at: y + index)
            index += 16
        }
        while index < count {
            y[index] = scale * x[index]
            index += 1
        }
    }

    /// The largest x[i]; minus infinity for none.
    @inline(__always)
    package static func largest(_ x: UnsafePointer<Float>, _ count: Int) -> Float {
        var lanes = Lanes(repeating: -.infinity)
        var index = 0
        while index + 16 <= count {
            lanes = lanes.larger(Lanes(at: x + index))
            index += 16
        }
        var best = lanes.largest
        while index < count {
            best = max(best, x[index])
            index += 1
        }
        return best
    }

    /// x[i] becomes e^(x[i] - shift); returns the sum. Lanes past `count` up to a multiple of 16 are set to zero when
    /// `padded`, so the memory must reach that far.
    @inline(__always)
    package static func exponentials(
        _ x: UnsafeMutablePointer<Float>, minus shift: Float, _ count: Int, padded: Bool = false
    ) -> Float {
        let offset = Lanes(repeating: shift)
        var lanes = Lanes.zero
        var index = 0
        while index + 16 <= count {
            let power = exponential(Lanes(at: x + index) - offset)
            lanes += power
            power.store(at: x + index)
            index += 16
        }
        if padded, index < count {
            let power = exponential(Lanes(at: x + index) - offset).keeping(count - index)
            lanes += power
            power.store(at: x + index)
            return lanes.total
        }
        var sum = lanes.total
        while index < count {
            x[index] = exponential(x[index] - shift)
            sum += x[index]
            index += 1
        }
        return sum
    }
}
