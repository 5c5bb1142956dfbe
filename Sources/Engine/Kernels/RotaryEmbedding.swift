internal import Glibc

/// Rotary position embedding, "rotate half" convention: component c of the first half of a head turns with component
/// c of the second half by the angle position * theta^(-2c / headSize) (Su et al., arXiv 2104.09864).
package final class RotaryEmbedding {
    /// Floats per head.
    package let headSize: Int
    private let half: Int
    private let cosines: FloatBuffer
    private let sines: FloatBuffer

    /// Tables for positions `0..<positions`, [positions, headSize / 2] each, computed in `Double`.
    package init(headSize: Int, theta: Double, scaling: RotaryScaling? = nil, positions: Int) {
        precondition(headSize > 0 && headSize.isMultiple(of: 2), "the head size must be even")
        self.headSize = headSize
        half = headSize / 2
        cosines = FloatBuffer(count: positions * half)
        sines = FloatBuffer(count: positions * half)
        for component in 0..<half {
            let plain = pow(theta, -2 * Double(component) / Double(headSize))
            let frequency = scaling?.scaled(plain) ?? plain
            for position in 0..<positions {
                cosines.base[position * half + component] = Float(cos(Double(position) * frequency))
                sines.base[position * half + component] = Float(sin(Double(position) * frequency))
            }
        }
    }

    /// Bytes of both tables.
    package var byteCount: Int { cosines.byteCount + sines.byteCount }

    /// Floats of both tables.
    static func tableFloats(headSize: Int, positions: Int) -> Int { positions * headSize }

    /// The heads of a fused projection: `queries` heads of q, then `keys` heads each of k and v.
    package struct Heads {
        package let queries: Int
        package let keys: Int

        package init(queries: Int, keys: Int) {
            self.queries = queries
            self.keys = keys
        }
    }

    /// Turns and hands out the rows of a fused projection.
    ///
    /// `projected` [count, (queries + 2 keys) headSize] holds q, k, v; `bias`, of that width, is added first. q and k
    /// are turned by `positions` [count]. Row r goes to `q[r]`, `k[r]`, `v[r]`.
    package func forward(
        projected: Matrix, bias: UnsafePointer<Float>?, positions: UnsafePointer<Int32>, heads: Heads,
        q: Rows, k: Rows, v: Rows, pool: ThreadPool
    ) {
        let queryWidth = heads.queries * headSize
        let keyWidth = heads.keys * headSize
        pool.rows(projected.rows, cost: 2 * projected.columns) { range in
            for row in range {
                let source = projected.base + row * projected.stride
                if let bias { Vector.add(bias, times: 1, to: source, projected.columns) }
                let position = Int(positions[row])
                for head in 0..<heads.queries {
                    self.turn(source + head * self.headSize, to: q[row] + head * self.headSize, position, sign: 1)
                }
                for head in 0..<heads.keys {
                    let offset = head * self.headSize
                    self.turn(source + queryWidth + offset, to: k[row] + offset, position, sign: 1)
                }
                memcpy(v[row], source + queryWidth + keyWidth, keyWidth * MemoryLayout<Float>.stride)
            }
        }
    }

    /// The gradient of `forward`'s input: `projected` receives the turned-back sum of the `dq` shares, the turned-back
    /// dk, and dv.
    package func backward(
        dq: [2 of Rows], dk: Rows, dv: Rows, positions: UnsafePointer<Int32>, heads: Heads, projected: Matrix,
        pool: ThreadPool
    ) {
        let queryWidth = heads.queries * headSize
        let keyWidth = heads.keys * headSize
        pool.rows(projected.rows, cost: 3 * projected.columns) { range in
            for row in range {
                let target = projected.base + row * projected.stride
                memcpy(target, dq[0][row], queryWidth * MemoryLayout<Float>.stride)
                Vector.add(dq[1][row], times: 1, to: target, queryWidth)
                memcpy(target + queryWidth, dk[row], keyWidth * MemoryLayout<Float>.stride)
                memcpy(target + queryWidth + keyWidth, dv[row], keyWidth * MemoryLayout<Float>.stride)
                let position = Int(positions[row])
                for head in 0..<heads.queries + heads.keys {
                    let place = target + head * self.headSize
                    self.turn(place, to: place, position, sign: -1)
                }
            }
        }
    }

    /// One head turned by `sign` times its angles; source and target may be the same.
    @inline(__always)
    private func turn(
        _ source: UnsafePointer<Float>, to target: UnsafeMutablePointer<Float>, _ position: Int, sign: Float
    ) {
        let cosine = cosines.base + position * half
        let sine = sines.base + position * half
        var index = 0
        while index + 16 <= half {
            let c = Lanes(at: cosine + index)
            let s = Lanes(at: sine + index) * sign
            let a = Lanes(at: source + index)
            let b = Lanes(at: source + half + index)
            (a * c - b * s).store(at: target + index)
            (b * c + a * s).store(at: target + half + index)
            index += 16
        }
        while index < half {
            let c = cosine[index]
            let s = sine[index] * sign
            let a = source[index]
            let b = source[half + index]
            target[index] = a * c - b * s
            target[half + index] = b * c + a * s
            index += 1
        }
    }
}
