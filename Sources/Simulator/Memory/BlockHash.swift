/// What a full KV block holds, and all before it in its sequence: a chained hash, 128 bits wide, so that among the 10^8
/// blocks of a long run two different ones are taken for each other with a probability of 10^-22.
public struct BlockHash: Hashable, Sendable {
    private var a: UInt64 = 0x243f_6a88_85a3_08d3
    private var b: UInt64 = 0x1319_8a2e_0370_7344

    /// The hash of nothing.
    public init() {}

    /// Takes in the next value. Two lanes of xor, multiply and shift with unlike constants.
    public mutating func absorb(_ value: UInt64) {
        a = (a ^ value) &* 0x9e37_79b9_7f4a_7c15
        a ^= a >> 32
        b = (b &+ value) &* 0xc2b2_ae3d_27d4_eb4f
        b = (b << 29 | b >> 35) ^ a
    }

    /// The hash as the prefix cache of `scope` knows it.
    public func keyed(by scope: PrefixCache.Scope) -> BlockHash {
        var key = self
        key.absorb(UInt64(truncatingIfNeeded: scope.adapter))
        key.absorb(UInt64(truncatingIfNeeded: scope.version ?? -1))
        return key
    }

    public func hash(into hasher: inout Hasher) { hasher.combine(a) }
}
