/// Writes JSON that people read: two spaces of indentation, members in the order given.
struct JSONText {
    private var members: [(key: String, value: String)] = []

    /// A text as a JSON string.
    static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    mutating func add(_ key: String, _ value: Int) { members.append((key, "\(value)")) }
    mutating func add(_ key: String, _ value: Bool) { members.append((key, "\(value)")) }
    mutating func add(_ key: String, _ value: String) { members.append((key, Self.quoted(value))) }
    mutating func add(_ key: String, _ values: [String]) {
        members.append((key, "[" + values.map(Self.quoted).joined(separator: ", ") + "]"))
    }
    /// A finite number, in the shortest form that reads back as it. Whole ones are written without a fraction where
    /// readers want them so.
    mutating func add(_ key: String, _ value: Double, wholeIfPossible: Bool = false) {
        if wholeIfPossible, let whole = Int(exactly: value) {
            add(key, whole)
        } else {
            members.append((key, "\(value)"))
        }
    }
    mutating func addNull(_ key: String) { members.append((key, "null")) }
    mutating func add(_ key: String, _ object: JSONText) { members.append((key, object.text(indent: "  "))) }

    /// The whole text, with a newline at its end.
    var text: String { text(indent: "") + "\n" }

    private func text(indent: String) -> String {
        guard !members.isEmpty else { return "{}" }
        let lines = members.map { "\(indent)  \(Self.quoted($0.key)): \($0.value)" }
        return "{\n" + lines.joined(separator: ",\n") + "\n\(indent)}"
    }
}
