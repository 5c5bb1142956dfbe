/// A set of a record's pieces by their layers, in one machine word pair: which of them are at a place or in a state.
public struct LayerSet: Sendable, Hashable, Sequence {
    /// Layers that a set can tell apart: 0..<128.
    public static let limit = 128

    private var bits: UInt128 = 0

    public init() {}

    public init(_ layers: Range<Int>) {
        precondition(layers.lowerBound >= 0 && layers.upperBound <= Self.limit, "layers beyond \(Self.limit)")
        bits = Self.below(layers.upperBound) & ~Self.below(layers.lowerBound)
    }

    private init(bits: UInt128) { self.bits = bits }

    private static func below(_ layer: Int) -> UInt128 { layer >= limit ? ~0 : (1 << UInt128(layer)) - 1 }

    public subscript(layer: Int) -> Bool {
        get { bits >> UInt128(layer) & 1 == 1 }
        set { bits = newValue ? bits | 1 << UInt128(layer) : bits & ~(1 << UInt128(layer)) }
    }

    public var isEmpty: Bool { bits == 0 }
    public var count: Int { bits.nonzeroBitCount }
    /// The lowest layer.
    public var first: Int? { bits == 0 ? nil : bits.trailingZeroBitCount }

    public func union(_ other: LayerSet) -> LayerSet { LayerSet(bits: bits | other.bits) }
    public func intersection(_ other: LayerSet) -> LayerSet { LayerSet(bits: bits & other.bits) }
    public func subtracting(_ other: LayerSet) -> LayerSet { LayerSet(bits: bits & ~other.bits) }
    public mutating func formUnion(_ other: LayerSet) { bits |= other.bits }
    public mutating func subtract(_ other: LayerSet) { bits &= ~other.bits }
    public func isSuperset(of other: LayerSet) -> Bool { other.bits & ~bits == 0 }

    /// The layers, if none is missing between the lowest and the highest; of an empty set an empty range.
    public var range: Range<Int>? {
        guard bits != 0 else { return 0..<0 }
        let (first, end) = (bits.trailingZeroBitCount, Self.limit - bits.leadingZeroBitCount)
        return end - first == bits.nonzeroBitCount ? first..<end : nil
    }

    /// The layers in ascending order.
    public struct Iterator: IteratorProtocol {
        fileprivate var bits: UInt128

        public mutating func next() -> Int? {
            guard bits != 0 else { return nil }
            defer { bits &= bits - 1 }
            return bits.trailingZeroBitCount
        }
    }

    public func makeIterator() -> Iterator { Iterator(bits: bits) }
}
