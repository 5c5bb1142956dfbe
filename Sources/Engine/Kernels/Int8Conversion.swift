/// Rows of floats as 8-bit integers with one scale: `x ~ scale q`, `scale = max |x| / 127`, symmetric around zero.
package enum Int8Conversion {
    /// Added to a float of at most 2^22, it leaves the nearest integer, ties to even, in the lowest bits.
    private static let rounder: Float = 0x1.8p23

    /// q[i] = x[i] / scale, rounded to the nearest integer, ties to even; returns the scale. A row without values that can
    /// be told from zero has scale 0. A row that is not finite keeps a scale that is not.
    @inline(never)
    package static func fromFloat32(
        _ x: UnsafePointer<Float>, to q: UnsafeMutablePointer<Int8>, count: Int
    ) -> Float {
        var largest: UInt32 = 0
        for index in 0..<count { largest = max(largest, x[index].bitPattern & 0x7fff_ffff) }
        let magnitude = Float(bitPattern: largest)
        let scale = magnitude / 127
        // Below this its inverse would not be finite.
        let inverse = scale >= Float.leastNormalMagnitude * 4 ? 1 / scale : 0
        for index in 0..<count {
            q[index] = Int8(truncatingIfNeeded: Int32(bitPattern: (x[index] * inverse + rounder).bitPattern))
        }
        return inverse == 0 && magnitude.isFinite ? 0 : scale
    }

    /// x[i] = scale q[i]
    @inline(never)
    package static func toFloat32(
        _ q: UnsafePointer<Int8>, scale: Float, to x: UnsafeMutablePointer<Float>, count: Int
    ) {
        for index in 0..<count { x[index] = Float(q[index]) * scale }
    }
}
