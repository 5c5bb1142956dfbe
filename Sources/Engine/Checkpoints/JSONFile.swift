/// A small JSON file that holds an object: reads its fields, and says what is wrong with them.
struct JSONFile {
    /// Longest file that is read.
    static let maxBytes = 64 << 20

    let path: String
    let object: JSONObject
    /// Dotted name of the object within the file, with a dot at its end; empty for the file's own.
    private let prefix: String

    init(_ path: String) throws(CheckpointError) {
        let file = try MappedFile(path)
        guard file.count <= Self.maxBytes else {
            throw CheckpointError(
                path, .file(found: "\(file.count) bytes", expected: "at most \(Self.maxBytes) of JSON"))
        }
        try file.prepare(0..<file.count)
        try self.init(file.bytes, path: path)
    }

    /// The object in some bytes; `path` is for messages.
    init(_ bytes: UnsafeRawBufferPointer, path: String) throws(CheckpointError) {
        let value: JSONValue
        do throws(JSONProblem) {
            value = try JSONParser.parse(bytes)
        } catch {
            throw CheckpointError(path, .malformed(byte: error.byte, expected: error.expected))
        }
        guard case .object(let object) = value else {
            throw CheckpointError(path, .file(found: value.shown, expected: "a JSON object"))
        }
        self.init(path: path, object: object, prefix: "")
    }

    private init(path: String, object: JSONObject, prefix: String) {
        self.path = path
        self.object = object
        self.prefix = prefix
    }

    /// A field's value; nil where it is missing or null.
    subscript(name: String) -> JSONValue? { object[name].flatMap { $0 == .null ? nil : $0 } }

    /// The error that a field's value is.
    func wrong(_ name: String, expected: String) -> CheckpointError {
        CheckpointError(
            path, .field(prefix + name, found: object[name]?.shown ?? "nothing", expected: expected))
    }

    /// A whole number in `range`; nil where it is missing or null.
    func integer(_ name: String, in range: ClosedRange<Int>) throws(CheckpointError) -> Int? {
        guard let value = self[name] else { return nil }
        guard let number = value.integer, range.contains(number) else {
            throw wrong(name, expected: "a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    func requiredInteger(_ name: String, in range: ClosedRange<Int>) throws(CheckpointError) -> Int {
        guard let number = try integer(name, in: range) else {
            throw wrong(name, expected: "a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    /// A positive number up to `most`; nil where it is missing or null.
    func positive(_ name: String, most: Double = 1e12) throws(CheckpointError) -> Double? {
        guard let value = self[name] else { return nil }
        guard let number = value.real, number > 0, number <= most else {
            throw wrong(name, expected: "a number above 0, at most \(most)")
        }
        return number
    }

    func requiredPositive(_ name: String, most: Double = 1e12) throws(CheckpointError) -> Double {
        guard let number = try positive(name, most: most) else {
            throw wrong(name, expected: "a number above 0, at most \(most)")
        }
        return number
    }

    /// True or false; `standard` where it is missing or null.
    func flag(_ name: String, default standard: Bool) throws(CheckpointError) -> Bool {
        guard let value = self[name] else { return standard }
        guard case .bool(let flag) = value else { throw wrong(name, expected: "true or false") }
        return flag
    }

    /// A text; nil where it is missing or null.
    func text(_ name: String) throws(CheckpointError) -> String? {
        guard let value = self[name] else { return nil }
        guard case .string(let text) = value else { throw wrong(name, expected: "a text") }
        return text
    }

    /// A list of texts; nil where it is missing or null.
    func texts(_ name: String) throws(CheckpointError) -> [String]? {
        guard let value = self[name] else { return nil }
        guard case .array(let items) = value else { throw wrong(name, expected: "a list of texts") }
        var texts: [String] = []
        for item in items {
            guard case .string(let text) = item else { throw wrong(name, expected: "a list of texts") }
            texts.append(text)
        }
        return texts
    }

    /// The object in a field; nil where it is missing or null.
    func nested(_ name: String) throws(CheckpointError) -> JSONFile? {
        guard let value = self[name] else { return nil }
        guard case .object(let inner) = value else { throw wrong(name, expected: "an object") }
        return JSONFile(path: path, object: inner, prefix: prefix + name + ".")
    }
}
