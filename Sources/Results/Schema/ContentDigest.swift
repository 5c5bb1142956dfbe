internal import Crypto

/// One SHA-256 over the contents of many datasets, whatever the order in which they were written.
///
/// Each dataset contributes the line `PATH DTYPE COUNT SHA256`, where DTYPE is numpy's name of the stored type and
/// SHA256 the hexadecimal hash of its elements' bytes as stored: numbers little-endian, text padded with zeros. The
/// digest is the SHA-256 of these lines in the order of their paths' UTF-8 bytes, each ended by a line feed.
struct ContentDigest {
    private var lines: [(path: String, line: String)] = []

    mutating func add(path: String, type: HDF5ElementType, count: Int, hash: SHA256) {
        lines.append((path, "\(path) \(type.dtype) \(count) \(Self.hexadecimal(hash.finalize()))\n"))
    }

    mutating func add(path: String, _ content: HDF5Content) {
        var hash = SHA256()
        hash.update(data: content.bytes)
        add(path: path, type: content.type, count: content.count, hash: hash)
    }

    /// In lower-case hexadecimal.
    var value: String {
        var hash = SHA256()
        for entry in lines.sorted(by: { $0.path.utf8.lexicographicallyPrecedes($1.path.utf8) }) {
            hash.update(data: Array(entry.line.utf8))
        }
        return Self.hexadecimal(hash.finalize())
    }

    private static func hexadecimal(_ digest: SHA256.Digest) -> String {
        digest.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
    }
}
