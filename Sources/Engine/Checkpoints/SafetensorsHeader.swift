/// What a safetensors file says of its tensors: an 8-byte little-endian length, then as many bytes of JSON, then the
/// tensors' bytes, without holes or overlaps (the format's description at github.com/huggingface/safetensors).
struct SafetensorsHeader: Sendable {
    /// One tensor.
    struct Entry: Sendable, Equatable {
        let type: TensorType
        let shape: [Int]
        /// Its bytes in the file.
        let bytes: Range<Int>

        /// Values held.
        var count: Int { shape.reduce(1, *) }
    }

    /// Longest header that is read, as in the format's own implementation.
    static let maxBytes = 100_000_000

    /// In the order of the file.
    private(set) var names: [String] = []
    private var entries: [String: Entry] = [:]

    subscript(name: String) -> Entry? { entries[name] }

    /// Bytes to the end of a file's header, as far as the file and the longest header go.
    static func end(_ file: UnsafeRawBufferPointer) -> Int {
        guard file.count >= 8 else { return file.count }
        let length = UInt64(littleEndian: file.loadUnaligned(as: UInt64.self))
        return min(file.count, 8 + Int(min(length, UInt64(maxBytes))))
    }

    /// Reads and checks the header of a whole file.
    init(_ file: UnsafeRawBufferPointer, path: String) throws(CheckpointError) {
        guard file.count >= 8 else {
            throw CheckpointError(
                path, .file(found: "\(file.count) bytes", expected: "at least 8, which tell the header's length"))
        }
        let length = UInt64(littleEndian: file.loadUnaligned(as: UInt64.self))
        guard length <= UInt64(Self.maxBytes) else {
            throw CheckpointError(
                path, .file(found: "a header of \(length) bytes", expected: "at most \(Self.maxBytes)"))
        }
        let dataStart = 8 + Int(length)
        guard dataStart <= file.count else {
            throw CheckpointError(
                path,
                .file(
                    found: "a header of \(length) bytes in a file of \(file.count)",
                    expected: "a header that ends within the file"))
        }
        let text = UnsafeRawBufferPointer(rebasing: file[8..<dataStart])
        let value: JSONValue
        do throws(JSONProblem) {
            value = try JSONParser.parse(text)
        } catch {
            throw CheckpointError(path, .malformed(byte: 8 + error.byte, expected: error.expected))
        }
        guard case .object(let object) = value else {
            throw CheckpointError(path, .file(found: "a header that is \(value.shown)", expected: "an object"))
        }
        for name in object.keys {
            guard let value = object[name] else { continue }
            if name == "__metadata__" {
                try Self.checkMetadata(value, path: path)
            } else {
                let entry = try Self.entry(value, name: name, dataStart: dataStart, fileEnd: file.count, path: path)
                names.append(name)
                entries[name] = entry
            }
        }
        try checkCoverage(from: dataStart, to: file.count, path: path)
    }

    private static func checkMetadata(_ value: JSONValue, path: String) throws(CheckpointError) {
        guard case .object(let object) = value else {
            throw CheckpointError(
                path, .field("__metadata__", found: value.shown, expected: "an object of texts"))
        }
        for key in object.keys {
            guard let text = object[key] else { continue }
            guard case .string = text else {
                throw CheckpointError(
                    path, .field("__metadata__.\(key.shown)", found: text.shown, expected: "a text"))
            }
        }
    }

    private static func entry(
        _ value: JSONValue, name: String, dataStart: Int, fileEnd: Int, path: String
    ) throws(CheckpointError) -> Entry {
        func wrong(_ found: String, _ expected: String) -> CheckpointError {
            CheckpointError(path, .tensor(name.shown, found: found, expected: expected))
        }
        guard case .object(let object) = value else {
            throw wrong(value.shown, "an object with dtype, shape and data_offsets")
        }
        for key in object.keys where !["dtype", "shape", "data_offsets"].contains(key) {
            throw wrong("a field `\(key.shown)`", "dtype, shape and data_offsets only")
        }
        guard case .string(let typeName)? = object["dtype"] else {
            throw wrong("dtype \(object["dtype"]?.shown ?? "missing")", "the name of a type, as \"F32\"")
        }
        let type = TensorType(name: typeName)
        guard case .array(let sizes)? = object["shape"] else {
            throw wrong("shape \(object["shape"]?.shown ?? "missing")", "a list of sizes")
        }
        var shape: [Int] = []
        var count = 1
        for size in sizes {
            guard let value = size.integer, value >= 0 else {
                throw wrong("size \(size.shown) in its shape", "whole numbers from 0")
            }
            let (product, overflow) = count.multipliedReportingOverflow(by: value)
            guard !overflow, product <= 1 << 56 else {
                throw wrong("a shape of too many values to count", "at most 2^56")
            }
            shape.append(value)
            count = product
        }
        guard case .array(let offsets)? = object["data_offsets"], offsets.count == 2 else {
            throw wrong("data_offsets \(object["data_offsets"]?.shown ?? "missing")", "a list of two, start and end")
        }
        guard let start = offsets[0].integer, let end = offsets[1].integer, start >= 0, end >= 0 else {
            throw wrong(
                "data_offsets \(offsets[0].shown) and \(offsets[1].shown)", "whole numbers of bytes from 0")
        }
        guard start <= end else { throw wrong("data_offsets \(start) to \(end)", "a start before the end") }
        guard end <= fileEnd - dataStart else {
            throw wrong(
                "data_offsets \(start) to \(end) in a file with \(fileEnd - dataStart) bytes of data",
                "an end within the file")
        }
        if let bits = type.bits {
            // 2^56 values of 64 bits still fit.
            let (wanted, odd) = (count * bits).quotientAndRemainder(dividingBy: 8)
            guard odd == 0, end - start == wanted else {
                throw wrong(
                    "\(end - start) bytes", "\(wanted), for \(shape.shownShape) values of type \(type.name)")
            }
        }
        return Entry(type: type, shape: shape, bytes: dataStart + start..<dataStart + end)
    }

    /// Checks that the tensors' bytes lie end to end and fill the file.
    private func checkCoverage(from start: Int, to end: Int, path: String) throws(CheckpointError) {
        var next = start
        let sorted = entries.sorted {
            ($0.value.bytes.lowerBound, $0.value.bytes.upperBound, $0.key)
                < ($1.value.bytes.lowerBound, $1.value.bytes.upperBound, $1.key)
        }
        for (name, entry) in sorted {
            let found = entry.bytes.lowerBound
            guard found == next else {
                let what = found < next ? "bytes that another tensor has, too," : "a hole before it,"
                throw CheckpointError(
                    path,
                    .tensor(
                        name.shown, found: "\(what) at data offset \(found - start)",
                        expected: "its start at \(next - start), where the tensor before it ends"))
            }
            next = entry.bytes.upperBound
        }
        guard next == end else {
            throw CheckpointError(
                path,
                .file(
                    found: "\(end - next) bytes after the last tensor",
                    expected: "tensors that fill the file to its end"))
        }
    }
}
