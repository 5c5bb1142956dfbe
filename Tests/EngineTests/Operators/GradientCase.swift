import Engine
import Testing

/// A function of the oracle with the gradient that the oracle claims for it.
struct GradientCase: Sendable, CustomTestStringConvertible {
    let title: String
    /// Names and values of what it is differentiated by.
    let operands: [(name: String, values: [Double])]
    /// All results, of which there may be several arrays, as one.
    let value: @Sendable (_ operands: [[Double]]) -> [Double]
    /// Gradients of the operands, given the gradient of the value.
    let gradient: @Sendable (_ operands: [[Double]], _ dValue: [Double]) -> [[Double]]

    var testDescription: String { title }

    static let table: [GradientCase] = linear + norms + rotary + gates + losses + embeddings + lora + attention

    private static let linear = [(1, 1, 1), (3, 4, 5), (2, 7, 3), (5, 1, 9)].map { m, n, k in
        GradientCase(
            title: "linear \(m) x \(n) x \(k)",
            operands: [("x", sample(m * k, "x")), ("w", sample(n * k, "w"))],
            value: { Oracle.linear($0[0], $0[1], k: k) },
            gradient: { operands, dy in
                let (dx, dw) = Oracle.linearBackward(operands[0], operands[1], dy: dy, k: k)
                return [dx, dw]
            })
    }

    private static let norms = [(1, 1), (1, 2), (3, 5), (2, 16), (4, 33)].flatMap { rows, width in
        // Epsilon tells how sharply the norm bends at zero, and with that how much the differences cut off.
        [1.0, 0, 20].map { deviation in
            GradientCase(
                title: "RMSNorm \(rows) x \(width), x \(deviation)",
                operands: [
                    ("x", sample(rows * width, "x", deviation: deviation)), ("gain", sample(width, "gain", mean: 1)),
                ],
                value: { Oracle.rmsNorm($0[0], gain: $0[1], epsilon: 0.1) },
                gradient: { operands, dy in
                    let (dx, dGain) = Oracle.rmsNormBackward(operands[0], gain: operands[1], epsilon: 0.1, dy: dy)
                    return [dx, dGain]
                })
        }
    }

    private static let rotary = [2, 6, 16, 64, 80].flatMap { headSize in
        RotaryCase.scalings.map { scaling in
            let positions = [0, 3, 11, 4095]
            let turned = { @Sendable (x: [Double], sign: Double) in
                Oracle.rotate(x, positions: positions, headSize: headSize, theta: 1000, scaling: scaling, sign: sign)
            }
            return GradientCase(
                title: "rotary \(headSize)\(scaling.map { ", \($0)" } ?? "")",
                operands: [("x", sample(positions.count * 2 * headSize, "x"))], value: { turned($0[0], 1) },
                gradient: { [turned($1, -1)] })
        }
    }

    private static let gates = [(1, 1), (3, 5), (2, 17)].flatMap { rows, width in
        [0.0, 2, 20].map { deviation in
            GradientCase(
                title: "SwiGLU \(rows) x \(width), x \(deviation)",
                operands: [("gateUp", sample(rows * 2 * width, "gateUp", deviation: deviation))],
                value: { Oracle.swiGLU($0[0], width: width) },
                gradient: { [Oracle.swiGLUBackward($0[0], width: width, dy: $1)] })
        }
    }

    private static let losses = [(1, 1), (1, 2), (4, 9), (3, 40)].flatMap { rows, width in
        [0.0, 3].map { deviation in
            let targets = (0..<rows).map { $0 * 5 % width }
            let weights = sample(rows, "weights")
            return GradientCase(
                title: "cross-entropy \(rows) x \(width), x \(deviation)",
                operands: [("logits", sample(rows * width, "logits", deviation: deviation))],
                value: { [Oracle.crossEntropy($0[0], targets: targets, weights: weights)] },
                gradient: { operands, dLoss in
                    [Oracle.crossEntropyBackward(operands[0], targets: targets, weights: weights).map { $0 * dLoss[0] }]
                })
        }
    }

    private static let embeddings = [
        GradientCase(
            title: "embedding", operands: [("table", sample(5 * 3, "table"))],
            value: { Oracle.embedding($0[0], tokens: [4, 0, 4, 2, 4], width: 3) },
            gradient: { [Oracle.embeddingBackward($1, tokens: [4, 0, 4, 2, 4], rows: 5)] }),
        GradientCase(
            title: "column sum", operands: [("x", sample(4 * 3, "x"))],
            value: { Oracle.columnSum($0[0], columns: 3) },
            gradient: { operands, dSum in [operands[0].indices.map { dSum[$0 % 3] }] }),
    ]

    private static let lora = [1, 3].flatMap { rank in
        [[0..<4], [0..<4, 6..<9]].map { columns in
            let adapters = { @Sendable (operands: [[Double]]) in
                Oracle.Adapters(a: operands[1], b: Array(operands[2...]), columns: columns, rank: rank, scale: 0.5)
            }
            return GradientCase(
                title: "LoRA of rank \(rank), columns \(columns)",
                operands: [("x", sample(2 * 5, "x")), ("A", sample(columns.count * rank * 5, "A"))]
                    + columns.map { ("B of \($0)", sample($0.count * rank, "B\($0)")) },
                value: { Oracle.lora($0[0], adapters($0), width: 9) },
                gradient: { operands, dy in
                    let gradients = Oracle.loraBackward(operands[0], adapters(operands), dy: dy, width: 9)
                    return [gradients.dx, gradients.a] + gradients.b
                })
        }
    }

    private static let attention = [
        (2, 2, 4, [0, 1, 2]), (4, 2, 4, [1, 4, 5]), (3, 1, 4, [0]), (6, 2, 16, [6]), (8, 1, 2, [0, 6]),
        (1, 1, 64, [2, 3]), (3, 1, 80, [5]), (1, 1, 128, [0, 6]),
    ].flatMap { heads, kvHeads, headSize, positions in
        [0.0, 1, 5].map { sharpness in
            let shape = AttentionShape(heads: heads, kvHeads: kvHeads, headSize: headSize)
            // One key more than any query sees.
            let keys = 8
            let input = { @Sendable (operands: [[Double]]) in
                Oracle.AttentionInput(
                    q: operands[0], k: operands[1], v: operands[2], positions: positions, shape: shape)
            }
            return GradientCase(
                title: "attention \(heads)/\(kvHeads) x \(headSize), queries \(positions), q x \(sharpness)",
                operands: [
                    ("q", sample(positions.count * shape.queryWidth, "q", deviation: sharpness)),
                    ("k", sample(keys * shape.keyWidth, "k")), ("v", sample(keys * shape.keyWidth, "v")),
                ],
                value: { Oracle.attention(input($0)).o },
                gradient: { operands, dOutput in
                    let gradient = Oracle.attentionBackward(input(operands), dOutput: dOutput)
                    return [gradient.dq, gradient.dk, gradient.dv]
                })
        }
    }
}
