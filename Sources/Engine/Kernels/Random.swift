internal import Glibc

/// A named stream of standard normal values, addressed by index: value `i` depends on seed, name and `i` alone.
///
/// Bits are SplitMix64 (Steele, Lea, Flood 2014) used as a counter; normals are Box-Muller pairs in `Double`. The
/// generator of the golden files (`make_goldens.py`) implements the same few lines.
package struct NormalStream: Sendable {
    private let key: UInt64

    /// The stream `name` of `seed`; the name enters through its FNV-1a hash.
    package init(seed: UInt64, name: String) {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in name.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        key = Self.mix(seed ^ hash)
    }

    /// Value `index` of the stream.
    package subscript(index: Int) -> Double {
        let values = pair(index / 2)
        return index.isMultiple(of: 2) ? values.even : values.odd
    }

    /// Fills `target` with `mean + deviation * value`, rounded once to `Float`.
    package func fill(
        _ target: UnsafeMutableBufferPointer<Float>, deviation: Double, mean: Double = 0, pool: ThreadPool? = nil
    ) {
        let body = { (pairs: Range<Int>) in
            for index in pairs {
                let values = pair(index)
                target[2 * index] = Float(mean + deviation * values.even)
                if 2 * index + 1 < target.count { target[2 * index + 1] = Float(mean + deviation * values.odd) }
            }
        }
        let pairs = (target.count + 1) / 2
        if let pool { pool.rows(pairs, cost: 32, body) } else { body(0..<pairs) }
    }

    /// Values 2 * index and 2 * index + 1.
    private func pair(_ index: Int) -> (even: Double, odd: Double) {
        let counter = 2 * UInt64(index)
        // (0, 1] and [0, 1), 53 bits each.
        let first = Double((bits(counter) >> 11) + 1) * 0x1p-53
        let second = Double(bits(counter + 1) >> 11) * 0x1p-53
        let radius = (-2 * log(first)).squareRoot()
        let angle = 2 * Double.pi * second
        return (radius * cos(angle), radius * sin(angle))
    }

    private func bits(_ counter: UInt64) -> UInt64 { Self.mix(key &+ (counter &+ 1) &* 0x9E37_79B9_7F4A_7C15) }

    private static func mix(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
