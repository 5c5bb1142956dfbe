import Engine
import Foundation
import Testing

/// The kernels' own e^x against that of the C library in `Double`.
@Suite("Exponential")
struct ExponentialTests {
    /// What its documentation promises, in units in the last place. The operations are those of IEEE 754 on every machine,
    /// so that the error is, too.
    private static let limit = 1.25

    /// Worst error over floats from `first` on, every `step`-th bit pattern up to `last`, in units in the last place.
    private static func worst(from first: Float, to last: Float, step: UInt32) -> (ulps: Double, at: Float) {
        var worst = (ulps: 0.0, at: first)
        var bits = first.bitPattern
        while bits <= last.bitPattern {
            var arguments = Lanes(repeating: last)
            for lane in 0..<16 where bits <= last.bitPattern {
                arguments[lane] = Float(bitPattern: bits)
                bits += step
            }
            let powers = exponential(arguments)
            for lane in 0..<16 {
                let expected = exp(Double(arguments[lane]))
                let error = abs(Double(powers[lane]) - expected) / Double(Float(expected).ulp)
                if !(error <= worst.ulps) { worst = (error, arguments[lane]) }
            }
        }
        return worst
    }

    /// Bit patterns ascend from 0 to 88, and from -0 to -87; below 2^-26 all powers round to 1.
    @Test("within a unit and a quarter in the last place", arguments: [(Float(0x1p-26), Float(88)), (-0x1p-26, -87)])
    func sweep(first: Float, last: Float) {
        // Some 280 000 values on each side, 8 000 or so between any two powers of two.
        let (ulps, at) = Self.worst(from: first, to: last, step: 997)
        #expect(ulps <= Self.limit, "\(ulps) ulps at \(at)")
    }

    /// Where the argument's multiple of ln 2 changes, the polynomial is furthest from its centre.
    @Test("and around halves of ln 2", arguments: -125...126)
    func halves(n: Int) {
        let middle = Float((Double(n) + 0.5) * log(2.0))
        let bits = middle.bitPattern
        let (ulps, at) = Self.worst(
            from: Float(bitPattern: bits - 2000), to: Float(bitPattern: bits + 2000), step: 1)
        #expect(ulps <= Self.limit, "\(ulps) ulps at \(at)")
    }

    @Test("special arguments")
    func special() {
        func power(_ x: Float) -> Float { exponential(Lanes(repeating: x))[0] }
        for one: Float in [0, -0.0, .leastNonzeroMagnitude, -.leastNonzeroMagnitude, 0x1p-30, -0x1p-30] {
            #expect(power(one) == 1)
        }
        for small: Float in [-87, -88, -1e30, -.infinity] { #expect(power(small) == power(-87)) }
        for large: Float in [88, 89, 1e30, .infinity] { #expect(power(large) == power(88)) }
        #expect(power(-87) > 0 && power(-87) < 0x1p-125 && power(88).isFinite)
        #expect(power(.nan).isNaN)
    }

    @Test("every lane gives the same")
    func lanes() {
        for lane in 0..<16 {
            var arguments = Lanes(repeating: 3)
            arguments[lane] = -1.25
            let powers = exponential(arguments)
            #expect(powers[lane] == exponential(Lanes(repeating: -1.25))[0])
            #expect(powers[(lane + 1) % 16] == exponential(Lanes(repeating: 3))[0])
        }
    }
}
