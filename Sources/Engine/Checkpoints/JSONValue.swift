/// One value of a JSON text.
enum JSONValue: Sendable, Equatable {
    case null
    case bool(Bool)
    /// A number as it is written, so that no digit is lost.
    case number(String)
    case string(String)
    case array([JSONValue])
    case object(JSONObject)

    /// The number as a whole one: written in digits only, within 64 bits.
    var integer: Int? {
        guard case .number(let text) = self else { return nil }
        return Int(text)
    }

    /// The number, finite; nil for anything else.
    var real: Double? {
        guard case .number(let text) = self, let value = Double(text), value.isFinite else { return nil }
        return value
    }

    /// The value as messages show it: short, on one line.
    var shown: String {
        switch self {
        case .null: "`null`"
        case .bool(let value): "`\(value)`"
        case .number(let text): "`\(text.shown)`"
        case .string(let text): "`\"\(text.shown)\"`"
        case .array(let items): items.isEmpty ? "an empty list" : "a list of \(items.count)"
        case .object(let object): object.keys.isEmpty ? "an empty object" : "an object"
        }
    }
}

/// The members of a JSON object, in their order; no key occurs twice.
struct JSONObject: Sendable, Equatable {
    private(set) var keys: [String] = []
    private var members: [String: JSONValue] = [:]

    subscript(key: String) -> JSONValue? { members[key] }

    /// Adds a member; false if the key is there already.
    mutating func add(_ key: String, _ value: JSONValue) -> Bool {
        guard members.updateValue(value, forKey: key) == nil else { return false }
        keys.append(key)
        return true
    }
}
