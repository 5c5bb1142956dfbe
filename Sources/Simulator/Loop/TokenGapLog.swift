/// Every gap between two tokens of one request up to a limit, and a histogram of all.
///
/// As a collection it is the gaps that are kept: all, or none.
public struct TokenGapLog: RandomAccessCollection, ExpressibleByArrayLiteral, Sendable {
    /// Most gaps that are kept one by one.
    public var limit = 10_000_000
    public private(set) var histogram = DurationHistogram()
    private var requests = ChunkedArray<Int32>()
    /// In nanoseconds; `longGap` for what four bytes do not hold.
    private var gaps = ChunkedArray<UInt32>()
    private var longGaps: [Int: SimDuration] = [:]
    private static let longGap = UInt32.max

    public init() {}

    public init(_ gaps: some Swift.Sequence<TokenGap>) { for gap in gaps { append(gap) } }

    public init(arrayLiteral elements: TokenGap...) { self.init(elements) }

    /// Gaps ever added.
    public var total: Int { Int(histogram.count) }
    /// Whether every gap is here.
    public var isWhole: Bool { gaps.count == total }

    public var startIndex: Int { 0 }
    public var endIndex: Int { gaps.count }

    public subscript(index: Int) -> TokenGap {
        let short = gaps[index]
        let gap = short == Self.longGap ? longGaps[index] ?? .zero : SimDuration(nanoseconds: Int64(short))
        return TokenGap(request: requests[index], gap: gap)
    }

    /// The gaps at these places of all gaps in ascending order, in nanoseconds: of gaps that are kept.
    ///
    /// The histogram tells where they lie; only gaps of their bins are looked at in full.
    public func sorted(at ranks: [Int]) -> [Int64] {
        let places = ranks.map { (rank: $0, bin: histogram.bin(at: $0)) }
        var near: [Int64: [Int64]] = [:]
        for place in places { near[place.bin.range.lowerBound] = [] }
        let ranges = Set(places.map(\.bin.range))
        for index in gaps.indices {
            let short = gaps[index]
            let gap = short == Self.longGap ? longGaps[index]?.nanoseconds ?? 0 : Int64(short)
            for range in ranges where range.contains(gap) { near[range.lowerBound]?.append(gap) }
        }
        near = near.mapValues { $0.sorted() }
        return places.map { near[$0.bin.range.lowerBound]?[$0.rank - $0.bin.below] ?? 0 }
    }

    public mutating func append(_ gap: TokenGap) {
        let keeps = isWhole
        histogram.add(gap.gap)
        if keeps, gaps.count < limit { keep(gap) } else if keeps { drop() }
    }

    /// Appends the same gap for each of several requests.
    mutating func append(_ gap: SimDuration, of all: [Int32]) {
        let keeps = isWhole
        histogram.add(gap, times: all.count)
        guard keeps else { return }
        guard gaps.count + all.count <= limit else { return drop() }
        for request in all { keep(TokenGap(request: request, gap: gap)) }
    }

    private mutating func keep(_ gap: TokenGap) {
        requests.append(gap.request)
        if let short = UInt32(exactly: gap.gap.nanoseconds), short < Self.longGap {
            gaps.append(short)
        } else {
            longGaps[gaps.count] = gap.gap
            gaps.append(Self.longGap)
        }
    }

    private mutating func drop() {
        requests = ChunkedArray()
        gaps = ChunkedArray()
        longGaps = [:]
    }
}
