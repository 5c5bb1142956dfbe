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

    /// 1, 2, 3, ... with this mean: a success is awaited whose chance stays the same. Takes one number.
    mutating func geometric(mean: Double) -> Int {
        let draw = uniform()
        guard mean > 1 else { return 1 }
        return 1 + Int(min(log(1 - draw) / log(1 - 1 / mean), 1e6))
    }
}
