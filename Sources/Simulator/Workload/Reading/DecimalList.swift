/// Whole numbers as text, a comma between two: what goes from one file to another as it is need not become numbers in
/// between.
struct DecimalList {
    private(set) var count = 0
    /// The text, and room behind it.
    private var storage: [UInt8] = []
    private var length = 0

    func withText(_ body: (UnsafeRawBufferPointer) -> Void) {
        storage.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[..<length])) }
    }

    mutating func removeAll() { (count, length) = (0, 0) }

    /// Appends a number that is not negative.
    mutating func append(_ number: Int) {
        makeRoom(Self.slack)
        let start = length
        let isFirst = count == 0
        length += storage.withUnsafeMutableBytes { text in
            guard let place = text.baseAddress.map({ $0 + start }) else { return 0 }
            if isFirst { return DecimalDigits.write(UInt64(truncatingIfNeeded: number), at: place) }
            text[start] = UInt8(ascii: ",")
            return 1 + DecimalDigits.write(UInt64(truncatingIfNeeded: number), at: place + 1)
        }
        count += 1
    }

    /// Appends the whole numbers that follow from `position` on, each after a comma, as far as each is a plain one of at
    /// most 15 digits within an array. Where the last of them ends.
    mutating func appendRow(of bytes: UnsafeRawBufferPointer, from position: Int) -> Int {
        guard let base = bytes.baseAddress else { return position }
        // A number is as long here as there at most, but for the bytes copied behind the last.
        makeRoom(bytes.count - position + Self.slack)
        let end = base + bytes.count
        var next = base + position
        var written = length
        var numbers = 0
        storage.withUnsafeMutableBytes { storage in
            guard let start = storage.baseAddress else { return }
            while end - next > Self.longest, next.load(as: UInt8.self) == UInt8(ascii: ",") {
                var first = next + 1
                if first.load(as: UInt8.self) == UInt8(ascii: " ") { first += 1 }
                let target = start + written
                let word = LeadingDigits(at: first)
                target.storeBytes(of: UInt8(ascii: ","), as: UInt8.self)
                word.copy(to: target + 1)
                var digits = word.count
                if digits == 8 {
                    let rest = LeadingDigits(at: first + 8)
                    rest.copy(to: target + 9)
                    digits += rest.count
                }
                let following = (first + digits).load(as: UInt8.self)
                guard digits > 0, digits < 16, !word.beginsWithZero || digits == 1,
                    following == UInt8(ascii: ",") || following == UInt8(ascii: "]")
                else { return }
                written += 1 + digits
                numbers += 1
                next = first + digits
            }
        }
        length = written
        count += numbers
        return next - base
    }

    private mutating func makeRoom(_ bytes: Int) {
        let wanted = length + bytes
        guard storage.count < wanted else { return }
        storage.append(contentsOf: repeatElement(0, count: max(wanted, storage.count * 3 / 2) - storage.count))
    }

    /// What is read of a number at most: a comma, a space and sixteen bytes.
    private static let longest = 18
    /// What is written beyond a number's end at most.
    private static let slack = 32
}
