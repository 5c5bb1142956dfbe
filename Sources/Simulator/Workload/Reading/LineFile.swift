internal import Glibc

/// One line of a text file, without its newline. The bytes live until the next line is asked for.
struct TraceLine {
    let bytes: UnsafeRawBufferPointer
    /// From 1.
    let number: Int
    /// Whether a newline ended it; only a file's last line may lack one.
    let isTerminated: Bool

    /// The bytes without the mark of byte order that may begin a file.
    var text: UnsafeRawBufferPointer {
        number == 1 && bytes.starts(with: [0xef, 0xbb, 0xbf])
            ? UnsafeRawBufferPointer(rebasing: bytes.dropFirst(3)) : bytes
    }
}

/// A text file handed out by lines, packed or not.
struct LineFile: ~Copyable {
    private let path: String
    private let maxLineBytes: Int
    private var window: ByteWindow
    private var lineNumber = 0
    /// The line to hand out once more.
    private var isRepeated = false
    /// Whether the rest of a line that was too long is still to be passed over.
    private var isWithinLongLine = false
    private var last: TraceLine?

    init(path: String, maxLineBytes: Int) throws(TraceError) {
        self.path = path
        self.maxLineBytes = maxLineBytes
        window = try ByteWindow(path: path)
    }

    /// The next line, `nil` at the end. After an error for a line that is too long, the one behind it. Each block of the text goes to `observing` as it is read.
    mutating func nextLine(
        observing: (UnsafeRawBufferPointer) -> Void = { _ in }
    ) throws(TraceError) -> TraceLine? {
        if isRepeated {
            isRepeated = false
            return last
        }
        if isWithinLongLine, try !passLongLine(observing) { return nil }
        lineNumber += 1
        last = try find(observing)
        return last
    }

    /// Makes the line that was handed out last the next one again.
    mutating func repeatLine() { isRepeated = true }

    private mutating func find(_ observing: (UnsafeRawBufferPointer) -> Void) throws(TraceError) -> TraceLine? {
        var searched = 0
        while true {
            let bytes = window.bytes
            if let newline = Self.newlineIndex(in: bytes, from: searched) {
                window.advance(by: newline + 1)
                return line(bytes, upTo: newline, isTerminated: true)
            }
            searched = bytes.count
            guard searched <= maxLineBytes else {
                isWithinLongLine = true
                throw TraceError(path: path, line: lineNumber, problem: .tooLong(maxBytes: maxLineBytes))
            }
            if try !window.extend(observing: observing) {
                let rest = window.bytes
                guard !rest.isEmpty else { return nil }
                window.advance(by: rest.count)
                return line(rest, upTo: rest.count, isTerminated: false)
            }
        }
    }

    /// Passes over what is left of a line; false if that is all there is.
    private mutating func passLongLine(_ observing: (UnsafeRawBufferPointer) -> Void) throws(TraceError) -> Bool {
        isWithinLongLine = false
        while true {
            let bytes = window.bytes
            if let newline = Self.newlineIndex(in: bytes, from: 0) {
                window.advance(by: newline + 1)
                return true
            }
            window.advance(by: bytes.count)
            guard try window.extend(observing: observing) else { return false }
        }
    }

    private func line(_ bytes: UnsafeRawBufferPointer, upTo end: Int, isTerminated: Bool) -> TraceLine {
        TraceLine(
            bytes: UnsafeRawBufferPointer(rebasing: bytes[..<end]), number: lineNumber, isTerminated: isTerminated)
    }

    private static func newlineIndex(in bytes: UnsafeRawBufferPointer, from index: Int) -> Int? {
        guard index < bytes.count, let base = bytes.baseAddress,
            let found = memchr(base + index, 0x0a, bytes.count - index)
        else { return nil }
        return UnsafeRawPointer(found) - base
    }
}
