internal import Glibc

/// The operators again in `Double`, written as their formulas read, without regard to speed: what finite differences
/// check, what the kernels are checked against, and where to look when a kernel is hard to read.
///
/// Matrices are row-major arrays; sizes come from the arguments. Backward functions take the gradient of the output and
/// return gradients of the inputs.
package enum Oracle {}

// MARK: Linear layer

extension Oracle {
    /// y [m, n] = x [m, k] W [n, k]^T
    package static func linear(_ x: [Double], _ w: [Double], k: Int) -> [Double] {
        let m = x.count / k
        let n = w.count / k
        var y = [Double](repeating: 0, count: m * n)
        for row in 0..<m {
            for column in 0..<n {
                var sum = 0.0
                for inner in 0..<k { sum += x[row * k + inner] * w[column * k + inner] }
                y[row * n + column] = sum
            }
        }
        return y
    }

    /// dx [m, k] = dy [m, n] W [n, k]; dW [n, k] = dy^T x
    package static func linearBackward(
        _ x: [Double], _ w: [Double], dy: [Double], k: Int
    ) -> (dx: [Double], dw: [Double]) {
        let m = x.count / k
        let n = w.count / k
        var dx = [Double](repeating: 0, count: x.count)
        var dw = [Double](repeating: 0, count: w.count)
        for row in 0..<m {
            for column in 0..<n {
                for inner in 0..<k {
                    dx[row * k + inner] += dy[row * n + column] * w[column * k + inner]
                    dw[column * k + inner] += dy[row * n + column] * x[row * k + inner]
                }
            }
        }
        return (dx, dw)
    }
}

// MARK: RMSNorm

extension Oracle {
    /// y = g x / sqrt(mean(x^2) + epsilon), row by row
    package static func rmsNorm(_ x: [Double], gain: [Double], epsilon: Double) -> [Double] {
        let width = gain.count
        var y = x
        for row in 0..<x.count / width {
            let inverse = inverseRoot(x, row: row, width: width, epsilon: epsilon)
            for column in 0..<width { y[row * width + column] *= inverse * gain[column] }
        }
        return y
    }

    package static func rmsNormBackward(
        _ x: [Double], gain: [Double], epsilon: Double, dy: [Double]
    ) -> (dx: [Double], dGain: [Double]) {
        let width = gain.count
        var dx = [Double](repeating: 0, count: x.count)
        var dGain = [Double](repeating: 0, count: width)
        for row in 0..<x.count / width {
            let inverse = inverseRoot(x, row: row, width: width, epsilon: epsilon)
            var projection = 0.0
            for column in 0..<width {
                let place = row * width + column
                projection += gain[column] * dy[place] * x[place]
                dGain[column] += dy[place] * x[place] * inverse
            }
            for column in 0..<width {
                let place = row * width + column
                let cubed = inverse * inverse * inverse
                dx[place] = inverse * gain[column] * dy[place] - x[place] * cubed / Double(width) * projection
            }
        }
        return (dx, dGain)
    }

    /// 1 / sqrt(mean(x^2) + epsilon) of one row
    package static func inverseRoot(_ x: [Double], row: Int, width: Int, epsilon: Double) -> Double {
        var square = 0.0
        for column in 0..<width { square += x[row * width + column] * x[row * width + column] }
        return 1 / (square / Double(width) + epsilon).squareRoot()
    }
}

// MARK: Rotary embedding

extension Oracle {
    /// Each head [headSize] of each row turned by sign * position * theta^(-2c / headSize), component c with c + half.
    /// The gradient of a turn is the turn back: sign -1.
    package static func rotate(
        _ x: [Double], positions: [Int], headSize: Int, theta: Double, scaling: RotaryScaling? = nil, sign: Double = 1
    ) -> [Double] {
        let width = x.count / max(positions.count, 1)
        let half = headSize / 2
        var y = x
        for (row, position) in positions.enumerated() {
            for head in stride(from: row * width, to: (row + 1) * width, by: headSize) {
                for component in 0..<half {
                    let plain = pow(theta, -2 * Double(component) / Double(headSize))
                    let angle = sign * Double(position) * frequency(plain, scaling)
                    let a = x[head + component]
                    let b = x[head + half + component]
                    y[head + component] = a * cos(angle) - b * sin(angle)
                    y[head + half + component] = b * cos(angle) + a * sin(angle)
                }
            }
        }
        return y
    }

    /// A rotary frequency as a scaling rule changes it, case by case as Llama 3's description goes.
    package static func frequency(_ plain: Double, _ scaling: RotaryScaling?) -> Double {
        switch scaling {
        case nil: return plain
        case .linear(let factor): return plain / factor
        case .llama3(let rule):
            let wavelength = 2 * Double.pi / plain
            let longest = rule.originalContext / rule.lowFrequencyFactor
            let shortest = rule.originalContext / rule.highFrequencyFactor
            if wavelength < shortest { return plain }
            if wavelength > longest { return plain / rule.factor }
            let smooth =
                (rule.originalContext / wavelength - rule.lowFrequencyFactor)
                / (rule.highFrequencyFactor - rule.lowFrequencyFactor)
            return (1 - smooth) * plain / rule.factor + smooth * plain
        }
    }
}

// MARK: SwiGLU

extension Oracle {
    /// y [rows, width] = silu(gate) up from gateUp [rows, 2 width]
    package static func swiGLU(_ gateUp: [Double], width: Int) -> [Double] {
        (0..<gateUp.count / 2).map { place in
            let gate = gateUp[place / width * 2 * width + place % width]
            let up = gateUp[place / width * 2 * width + width + place % width]
            return gate / (1 + exp(-gate)) * up
        }
    }

    package static func swiGLUBackward(_ gateUp: [Double], width: Int, dy: [Double]) -> [Double] {
        var result = [Double](repeating: 0, count: gateUp.count)
        for place in dy.indices {
            let gateIndex = place / width * 2 * width + place % width
            let gate = gateUp[gateIndex]
            let sigmoid = 1 / (1 + exp(-gate))
            result[gateIndex] = dy[place] * gateUp[gateIndex + width] * sigmoid * (1 + gate * (1 - sigmoid))
            result[gateIndex + width] = dy[place] * gate * sigmoid
        }
        return result
    }
}

// MARK: Cross-entropy

extension Oracle {
    /// Sum over rows of weight (log sum e^logits - logits[target])
    package static func crossEntropy(_ logits: [Double], targets: [Int], weights: [Double]) -> Double {
        let width = logits.count / max(targets.count, 1)
        var total = 0.0
        for (row, target) in targets.enumerated() {
            let line = logits[row * width..<(row + 1) * width]
            let top = line.max() ?? 0
            let sum = line.reduce(0) { $0 + exp($1 - top) }
            total += weights[row] * (top + log(sum) - logits[row * width + target])
        }
        return total
    }

    package static func crossEntropyBackward(_ logits: [Double], targets: [Int], weights: [Double]) -> [Double] {
        let width = logits.count / max(targets.count, 1)
        var gradient = logits
        for (row, target) in targets.enumerated() {
            let line = logits[row * width..<(row + 1) * width]
            let top = line.max() ?? 0
            let sum = line.reduce(0) { $0 + exp($1 - top) }
            for column in 0..<width {
                let probability = exp(logits[row * width + column] - top) / sum
                gradient[row * width + column] = weights[row] * (probability - (column == target ? 1 : 0))
            }
        }
        return gradient
    }
}

// MARK: Embedding

extension Oracle {
    /// y [tokens, width], row r = table[tokens[r]]
    package static func embedding(_ table: [Double], tokens: [Int], width: Int) -> [Double] {
        tokens.flatMap { table[$0 * width..<($0 + 1) * width] }
    }

    /// dTable [rows, width]: row t is the sum of the dy of all tokens t
    package static func embeddingBackward(_ dy: [Double], tokens: [Int], rows: Int) -> [Double] {
        let width = dy.count / max(tokens.count, 1)
        var gradient = [Double](repeating: 0, count: rows * width)
        for (row, token) in tokens.enumerated() {
            for column in 0..<width { gradient[token * width + column] += dy[row * width + column] }
        }
        return gradient
    }

    /// Sums over the rows of x [rows, columns]
    package static func columnSum(_ x: [Double], columns: Int) -> [Double] {
        var sums = [Double](repeating: 0, count: columns)
        for (place, value) in x.enumerated() { sums[place % columns] += value }
        return sums
    }
}

// MARK: AdamW

extension Oracle {
    /// One step of AdamW on one parameter; `moments` are updated, the new value is returned. `step` counts from 1.
    package static func adamW(
        _ rule: AdamW, step: Int, value: Double, gradient: Double, moments: inout (first: Double, second: Double),
        learningRate: Double, decays: Bool
    ) -> Double {
        moments.first = rule.beta1 * moments.first + (1 - rule.beta1) * gradient
        moments.second = rule.beta2 * moments.second + (1 - rule.beta2) * gradient * gradient
        let first = moments.first / (1 - pow(rule.beta1, Double(step)))
        let second = moments.second / (1 - pow(rule.beta2, Double(step)))
        let decayed = value * (decays ? 1 - learningRate * rule.weightDecay : 1)
        return decayed - learningRate * first / (second.squareRoot() + rule.epsilon)
    }
}
