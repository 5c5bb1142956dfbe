/// Conversions between stored floats and `Float`.
///
/// The loops are plain on purpose: over integers and single conversions the compiler vectorises them by itself, and the
/// `SIMD16` initialisers that convert are loops over scalars. Sources may lie at any address. Reading functions return
/// whether all values are finite: adding one to an exponent field of ones carries into the sign bit, and `or` keeps it.
package enum FloatConversion {
    /// y[i] = x[i], as bytes.
    @inline(never)
    package static func fromFloat32(_ x: UnsafeRawPointer, to y: UnsafeMutablePointer<Float>, count: Int) -> Bool {
        let target = UnsafeMutableRawPointer(y)
        var seen: UInt32 = 0
        for index in 0..<count {
            let bits = x.loadUnaligned(fromByteOffset: 4 &* index, as: UInt32.self)
            seen |= (bits & 0x7fff_ffff) &+ 0x0080_0000
            target.storeBytes(of: bits, toByteOffset: 4 &* index, as: UInt32.self)
        }
        return seen & 0x8000_0000 == 0
    }

    /// bfloat16 is the upper half of a `Float`.
    @inline(never)
    package static func fromBFloat16(_ x: UnsafeRawPointer, to y: UnsafeMutablePointer<Float>, count: Int) -> Bool {
        let target = UnsafeMutableRawPointer(y)
        var seen: UInt32 = 0
        for index in 0..<count {
            let bits = UInt32(x.loadUnaligned(fromByteOffset: 2 &* index, as: UInt16.self)) &<< 16
            seen |= (bits & 0x7fff_ffff) &+ 0x0080_0000
            target.storeBytes(of: bits, toByteOffset: 4 &* index, as: UInt32.self)
        }
        return seen & 0x8000_0000 == 0
    }

    /// binary16: exponent and mantissa moved to their places in a `Float`, whose exponent bias is larger by 112.
    /// Multiplying by 2^112 corrects it, exactly, for subnormal numbers, too.
    @inline(never)
    package static func fromFloat16(_ x: UnsafeRawPointer, to y: UnsafeMutablePointer<Float>, count: Int) -> Bool {
        var seen: UInt32 = 0
        for index in 0..<count {
            let half = UInt32(x.loadUnaligned(fromByteOffset: 2 &* index, as: UInt16.self))
            let magnitude = Float(bitPattern: (half & 0x7fff) &<< 13) * 0x1p112
            seen |= (half & 0x7fff) &+ 0x0400
            y[index] = Float(bitPattern: magnitude.bitPattern | (half & 0x8000) &<< 16)
        }
        return seen & 0x8000 == 0
    }

    /// Rounds finite floats to the nearest bfloat16, ties to even.
    @inline(never)
    package static func roundToBFloat16(_ x: UnsafePointer<Float>, to y: UnsafeMutablePointer<UInt16>, count: Int) {
        for index in 0..<count {
            let bits = x[index].bitPattern
            let rounded = bits &+ 0x7fff &+ ((bits &>> 16) & 1)
            y[index] = UInt16(truncatingIfNeeded: rounded &>> 16)
        }
    }
}
