import Engine

/// The fused gate and up product of a model over numbers of rows: what a layer's largest product reaches.
enum ProductBenchmarks {
    static let rows = [1, 4, 16, 32, 64, 256, 1024]

    static func all(_ config: ModelConfig) -> [Benchmark] {
        rows.map { rows in
            let inputs = config.hidden
            let outputs = 2 * config.intermediate
            return Benchmark(
                name: "product \(config.name) \(rows)x\(outputs)x\(inputs)", tokens: rows,
                work: 2 * Double(rows * inputs * outputs), limit: .arithmetic
            ) { bench in
                let x = FloatBuffer(count: rows * inputs)
                let w = FloatBuffer(count: outputs * inputs)
                let y = FloatBuffer(count: rows * outputs)
                return {
                    MatrixProduct.forward(
                        Matrix(x.base, rows: rows, columns: inputs), Matrix(w.base, rows: outputs, columns: inputs),
                        Matrix(y.base, rows: rows, columns: outputs), pool: bench.pool)
                }
            }
        }
    }
}
