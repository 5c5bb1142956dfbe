/// How a model's rotary frequencies were changed to reach beyond the context that it was first trained on.
public enum RotaryScaling: Sendable, Hashable, Codable {
    /// Every frequency divided by `factor`: position interpolation (Chen et al., arXiv 2306.15595).
    case linear(factor: Double)
    /// Long wavelengths interpolated, short ones kept, a ramp between (the Llama 3 models, arXiv 2407.21783).
    case llama3(Llama3)

    /// The numbers of Llama 3's rule.
    public struct Llama3: Sendable, Hashable, Codable {
        /// What frequencies of long wavelengths are divided by.
        public var factor: Double
        /// Wavelengths above `originalContext / lowFrequencyFactor` are long.
        public var lowFrequencyFactor: Double
        /// Wavelengths below `originalContext / highFrequencyFactor` are short.
        public var highFrequencyFactor: Double
        /// Positions that the model was first trained on.
        public var originalContext: Double

        public init(
            factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double, originalContext: Double
        ) {
            self.factor = factor
            self.lowFrequencyFactor = lowFrequencyFactor
            self.highFrequencyFactor = highFrequencyFactor
            self.originalContext = originalContext
        }
    }

    /// What is wrong with the numbers, in words; empty for a usable rule.
    public var problems: [String] {
        switch self {
        case .linear(let factor):
            return factor.isFinite && factor > 0 ? [] : ["factor is \(factor), must be positive"]
        case .llama3(let rule):
            var found: [String] = []
            let numbers = [
                ("factor", rule.factor), ("low_freq_factor", rule.lowFrequencyFactor),
                ("high_freq_factor", rule.highFrequencyFactor),
                ("original_max_position_embeddings", rule.originalContext),
            ]
            for (name, value) in numbers where !(value.isFinite && value > 0) {
                found.append("\(name) is \(value), must be positive")
            }
            if !(rule.highFrequencyFactor > rule.lowFrequencyFactor) {
                found.append("high_freq_factor must be above low_freq_factor")
            }
            return found
        }
    }

    /// The frequency, in radians per position, that takes the place of `frequency`.
    ///
    /// Llama 3: with wavelength w = 2 pi / frequency and s = (originalContext / w - low) / (high - low), clamped to
    /// [0, 1], it is frequency (s + (1 - s) / factor).
    func scaled(_ frequency: Double) -> Double {
        switch self {
        case .linear(let factor): return frequency / factor
        case .llama3(let rule):
            let turns = rule.originalContext * frequency / (2 * Double.pi)
            let ramp =
                (turns - rule.lowFrequencyFactor) / (rule.highFrequencyFactor - rule.lowFrequencyFactor)
            let kept = min(max(ramp, 0), 1)
            return frequency * (kept + (1 - kept) / rule.factor)
        }
    }
}
