/// An array in pieces of equal size, so that growing never copies what is there.
///
/// An `Array` that grows to hundreds of megabytes holds its old and its new room for a while; logs of long runs are kept
/// in these instead.
public struct ChunkedArray<Element>: RandomAccessCollection, MutableCollection, ExpressibleByArrayLiteral {
    // What is inlinable is specialised where other modules walk a log; generic, each element would be looked up by its
    // metadata.
    @usableFromInline static var shift: Int { 14 }
    /// Elements of one piece.
    @usableFromInline static var chunk: Int { 1 << shift }

    @usableFromInline var chunks: [[Element]] = []
    public private(set) var count = 0

    public init() {}

    public init(_ elements: some Swift.Sequence<Element>) { for element in elements { append(element) } }

    public init(arrayLiteral elements: Element...) { self.init(elements) }

    public var startIndex: Int { 0 }
    public var endIndex: Int { count }

    public subscript(index: Int) -> Element {
        @inlinable get { chunks[index >> Self.shift][index & (Self.chunk - 1)] }
        _modify { yield &chunks[index >> Self.shift][index & (Self.chunk - 1)] }
    }

    public mutating func append(_ element: Element) {
        if count >> Self.shift == chunks.count {
            chunks.append([])
            // Small logs stay small; from the second piece on there will be more.
            if chunks.count > 1 { chunks[chunks.count - 1].reserveCapacity(Self.chunk) }
        }
        chunks[chunks.count - 1].append(element)
        count += 1
    }
}

extension ChunkedArray: Sendable where Element: Sendable {}
