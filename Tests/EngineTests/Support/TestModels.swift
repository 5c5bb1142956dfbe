import Engine

/// Models, parameters and micro-batches that the tests share.
enum TestModels {
    /// Fills every tensor by its own stream so that none stays at its initial value; `make_goldens.py` does the same.
    ///
    /// `lowRank` holds the deviations of A and B.
    static func fill(
        _ table: ParameterTable, _ buffer: FloatBuffer, seed: UInt64, lowRank: (a: Double, b: Double) = (0.3, 0.2)
    ) {
        for parameter in table.parameters {
            let (mean, deviation) =
                switch parameter.name {
                case let name where name.hasSuffix("norm"): (1.0, 0.1)
                case let name where name.hasSuffix("bias"): (0.0, 0.1)
                case let name where name.hasSuffix(".A"): (0.0, lowRank.a)
                case let name where name.hasSuffix(".B"): (0.0, lowRank.b)
                default: (0.0, 0.2)
                }
            NormalStream(seed: seed, name: parameter.name).fill(
                UnsafeMutableBufferPointer(rebasing: buffer.floats[parameter.range]), deviation: deviation, mean: mean)
        }
    }

    /// Weights, and in LoRA mode adapters whose B is not zero.
    static func parameters(
        _ config: ModelConfig, _ tuning: TuningMode, seed: UInt64, lowRank: (a: Double, b: Double) = (0.3, 0.2)
    ) -> ModelParameters {
        let weights = Weights(zeros: config)
        fill(weights.table, weights.buffer, seed: seed)
        guard case .lora(let lora) = tuning else { return ModelParameters(weights) }
        let adapters = Adapters(config, lora, seed: seed)
        fill(adapters.table, adapters.buffer, seed: seed, lowRank: lowRank)
        return ModelParameters(weights, adapters: adapters)
    }
}

/// Runs a whole pass, every layer in row ranges of `unit`; `prepare` comes before a layer's forward pass, `reload` before
/// its backward pass.
func runPass(
    _ pass: TrainingPass, unit: Int, prepare: (Int) -> Void = { _ in }, reload: (Int) -> Void = { _ in }
) -> Double {
    pass.forwardWhole(unit: unit, prepare: prepare)
    return pass.backwardWhole(unit: unit, reload: reload)
}
