/// The gated activation silu(gate) up, silu(g) = g / (1 + e^-g) (Shazeer, arXiv 2002.05202).
///
/// A row of `gateUp` holds gate in its first `width` columns and up in the next `width`.
package enum SwiGLU {
    /// y [count, width] from gateUp [count, 2 width].
    package static func forward(gateUp: Rows, y: Rows, count: Int, width: Int, pool: ThreadPool) {
        pool.rows(count, cost: 3 * width) { range in
            for row in range {
                let gate = gateUp[row]
                let up = gate + width
                let target = y[row]
                var index = 0
                while index + 16 <= width {
                    activated(Lanes(at: gate + index), Lanes(at: up + index)).store(at: target + index)
                    index += 16
                }
                while index < width {
                    target[index] = activated(Lanes(repeating: gate[index]), Lanes(repeating: up[index]))[0]
                    index += 1
                }
            }
        }
    }

    /// dGateUp [count, 2 width] from dy [count, width] and gateUp: with s = 1 / (1 + e^-g),
    /// dGate = dy up s (1 + g (1 - s)), dUp = dy g s.
    package static func backward(
        gateUp: Rows, dy: Rows, dGateUp: Rows, count: Int, width: Int, pool: ThreadPool
    ) {
        pool.rows(count, cost: 4 * width) { range in
            for row in range {
                let gate = gateUp[row]
                let gradient = dy[row]
                let target = dGateUp[row]
                var index = 0
                while index + 16 <= width {
                    let pair = gradients(
                        Lanes(at: gate + index), Lanes(at: gate + width + index), Lanes(at: gradient + index))
                    pair.gate.store(at: target + index)
                    pair.up.store(at: target + width + index)
                    index += 16
                }
                while index < width {
                    let pair = gradients(
                        Lanes(repeating: gate[index]), Lanes(repeating: gate[width + index]),
                        Lanes(repeating: gradient[index]))
                    target[index] = pair.gate[0]
                    target[width + index] = pair.up[0]
                    index += 1
                }
            }
        }
    }

    @inline(__always)
    private static func activated(_ gate: Lanes, _ up: Lanes) -> Lanes {
        gate * up / (1 + exponential(0 - gate))
    }

    @inline(__always)
    private static func gradients(_ gate: Lanes, _ up: Lanes, _ dy: Lanes) -> (gate: Lanes, up: Lanes) {
        let sigmoid = 1 / (1 + exponential(0 - gate))
        let silu = gate * sigmoid
        return (dy * up * (sigmoid + silu * (1 - sigmoid)), dy * silu)
    }
}
