/// Turns texts into token ids.
public protocol TextTokenizer {
    /// The ids of each text, none for an empty one.
    mutating func tokens(of texts: [String]) throws(TraceError) -> [[Int32]]
}

/// One token a byte of UTF-8: ids 0 to 255.
public struct ByteTokenizer: TextTokenizer {
    public init() {}

    public func tokens(of texts: [String]) -> [[Int32]] {
        texts.map { text in
            var text = text
            return text.withUTF8 { bytes in
                [Int32](unsafeUninitializedCapacity: bytes.count) { ids, count in
                    for index in bytes.indices { ids.initializeElement(at: index, to: Int32(bytes[index])) }
                    count = bytes.count
                }
            }
        }
    }
}
