internal import Glibc

extension RandomStream {
    /// The stream of one member, such as a conversation, of a purpose: independent of how much others draw.
    init(seed: UInt64, name: String, member: Int) {
        self.init(seed: seed &+ UInt64(truncatingIfNeeded: member) &* 0xd134_2543_de82_ef95, name: name)
    }

    /// Standard normal (Box and Muller), two numbers taken for each.
    mutating func normal() -> Double {
        let radius = (-2 * log(1 - uniform())).squareRoot()
        return radius * cos(2 * .pi * uniform())
    }

    /// 1, 2, 3, ... with this mean: a success is awaited whose chance stays the same. Takes one number, and uses another
    /// share of the distribution if one is given.
    mutating func geometric(mean: Double, share: Double? = nil) -> Int {
        let draw = uniform()
        guard mean > 1 else { return 1 }
        return 1 + Int(min(log(1 - (share ?? draw)) / log(1 - 1 / mean), 1e6))
    }

    /// Gamma with this shape and scale 1 (Marsaglia and Tsang, 2000; shapes below 1 by a power of a uniform number).
    mutating func gamma(shape: Double) -> Double {
        let boost = shape < 1 ? pow(1 - uniform(), 1 / shape) : 1
        let d = (shape < 1 ? shape + 1 : shape) - 1.0 / 3
        let c = 1 / (9 * d).squareRoot()
        while true {
            let x = normal()
            let v = pow(1 + c * x, 3)
            guard v > 0 else { continue }
            if log(1 - uniform()) < 0.5 * x * x + d - d * v + d * log(v) { return boost * d * v }
        }
    }
}
