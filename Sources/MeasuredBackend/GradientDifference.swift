internal import Engine
internal import Simulator

/// The distance of a gradient from a reference.
struct GradientDifference {
    /// `max over tensors of |g - r| / max(|r|, 1e-6 |r_all|)`, Euclidean norms.
    let error: Double
    /// Cosine of the angle between the two whole gradients.
    let cosine: Double
    /// Of all tensors of each layer together: `|g - r| / max(|r|, 1e-6 |r_all|)`, and the cosine.
    let layers: [GradientDistance]
    /// The same of the whole gradient.
    let whole: GradientDistance

    /// Sums over the floats of some tensors.
    private struct Sums {
        var difference = 0.0
        var own = 0.0
        var reference = 0.0
        var product = 0.0

        static func += (a: inout Sums, b: Sums) {
            a.difference += b.difference
            a.own += b.own
            a.reference += b.reference
            a.product += b.product
        }

        /// - Parameter whole: the reference's norm over all tensors.
        func distance(whole: Double) -> GradientDistance {
            let scale = max(reference.squareRoot(), 1e-6 * whole)
            let norms = (own * reference).squareRoot()
            return GradientDistance(
                error: difference == 0 ? 0 : difference.squareRoot() / scale, cosine: norms > 0 ? product / norms : 1)
        }
    }

    init(_ gradient: GradientBuffer, reference: GradientBuffer) {
        var ofLayers = [Sums](repeating: Sums(), count: reference.config.layers)
        var all = Sums()
        let ofTensors = reference.table.parameters.map { parameter in
            var sums = Sums()
            for index in parameter.range {
                let (g, r) = (Double(gradient.buffer.base[index]), Double(reference.buffer.base[index]))
                sums.difference += (g - r) * (g - r)
                sums.own += g * g
                sums.reference += r * r
                sums.product += g * r
            }
            all += sums
            if let layer = Self.layer(of: parameter) { ofLayers[layer] += sums }
            return sums
        }
        let norm = all.reference.squareRoot()
        whole = all.distance(whole: norm)
        cosine = whole.cosine
        layers = ofLayers.map { $0.distance(whole: norm) }
        // A difference that is not a number is as wrong as can be, and no comparison with it is true.
        error = ofTensors.reduce(0) { worst, sums in
            let own = sums.distance(whole: norm).error
            return own.isFinite ? max(worst, own) : .infinity
        }
    }

    /// The layer that a tensor belongs to, as its name says; nil for embedding, head and the final norm.
    private static func layer(of parameter: Parameter) -> Int? {
        let parts = parameter.name.split(separator: ".")
        return parts.count > 2 && parts[0] == "layers" ? Int(parts[1]) : nil
    }
}
