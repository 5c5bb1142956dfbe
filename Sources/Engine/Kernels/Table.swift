/// Owned memory for a list that is made anew over and over: it grows to the longest list and is then reused. What points
/// into it stays valid until a longer list is begun.
final class Table<Element: BitwiseCopyable> {
    private var storage = UnsafeMutableBufferPointer<Element>(start: nil, count: 0)
    /// Elements of the present list.
    private(set) var count = 0

    deinit { storage.deallocate() }

    /// Begins a list of at most `capacity` elements.
    func begin(_ capacity: Int) {
        count = 0
        guard capacity > storage.count else { return }
        storage.deallocate()
        storage = .allocate(capacity: capacity + capacity / 4)
    }

    func append(_ element: Element) {
        precondition(count < storage.count, "the list was begun for \(storage.count) elements")
        storage.initializeElement(at: count, to: element)
        count += 1
    }

    /// Elements `range` of the list, also before they are appended.
    func view(_ range: Range<Int>) -> UnsafeBufferPointer<Element> {
        precondition(range.upperBound <= storage.count, "the list was begun for \(storage.count) elements")
        return UnsafeBufferPointer(rebasing: storage[range])
    }
}

/// Where rows lie.
typealias RowTable = Table<UnsafeMutablePointer<Float>>

extension Table<UnsafeMutablePointer<Float>> {
    /// The rows appended so far, at least one, valid until the next list.
    var rows: Rows {
        guard let start = view(0..<count).baseAddress else { preconditionFailure("a table needs rows") }
        return Rows(start)
    }

    /// Makes a list of `count` rows.
    func fill(_ count: Int, _ row: (Int) -> UnsafeMutablePointer<Float>) -> Rows {
        begin(count)
        for index in 0..<count { append(row(index)) }
        return rows
    }
}
