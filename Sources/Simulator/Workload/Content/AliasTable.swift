/// Draws indices with given weights in constant time (Walker's alias method, in Vose's order of construction).
struct AliasTable: Sendable {
    /// Of each slot: the chance, in 2^-32, of staying there, and where to go otherwise.
    private var slots: [(threshold: UInt32, alias: Int32)]

    /// - Precondition: at least one weight, fewer than 2^31, none negative, and a positive sum.
    init(weights: [Double]) {
        let sum = weights.reduce(0, +)
        precondition(!weights.isEmpty && sum > 0, "an alias table needs a positive weight")
        var share = weights.map { $0 / sum * Double(weights.count) }
        var small = share.indices.filter { share[$0] < 1 }
        var large = share.indices.filter { share[$0] >= 1 }
        slots = share.indices.map { (.max, Int32($0)) }
        while let receiver = small.popLast(), let donor = large.popLast() {
            slots[receiver] = (UInt32(min(share[receiver] * 0x1p32, 0x1p32 - 1)), Int32(donor))
            share[donor] -= 1 - share[receiver]
            if share[donor] < 1 { small.append(donor) } else { large.append(donor) }
        }
    }

    /// The index that 64 uniformly random bits stand for: the upper half picks a slot, the lower half stays or leaves.
    func index(_ bits: UInt64) -> Int32 {
        let slot = Int(((bits >> 32) * UInt64(slots.count)) >> 32)
        return UInt32(truncatingIfNeeded: bits) < slots[slot].threshold ? Int32(slot) : slots[slot].alias
    }
}
