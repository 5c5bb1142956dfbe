/// What the values of records are rounded to. Pieces are never wider than the values were computed: what an accelerator
/// computes in 16 bits takes 16 bits under `fp32`, too.
public enum PiecePrecision: String, Sendable, Hashable, CaseIterable {
    /// As they are computed: nothing is rounded.
    case own
    case fp32
    /// Rounded to nearest, ties to even.
    case bf16
    /// 8 bits, symmetric, with an fp32 scale for each row of each tensor.
    case int8

    /// Bytes of a value, but for its part of a scale; nil for as many as it has.
    private var width: Int? {
        switch self {
        case .own: nil
        case .fp32: 4
        case .bf16: 2
        case .int8: 1
        }
    }

    /// Whether values of `width` bytes are rounded.
    public func narrows(width: Int) -> Bool { self.width.map { $0 < width } ?? false }

    /// Bytes of one row of a tensor: `columns` values that were computed in `width` bytes each.
    public func rowBytes(columns: Int, width: Int) -> Int {
        guard let own = self.width, own < width else { return columns * width }
        return columns * own + (self == .int8 ? 4 : 0)
    }
}
