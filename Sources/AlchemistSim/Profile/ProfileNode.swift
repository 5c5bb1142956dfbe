internal import Foundation
internal import Simulator
internal import Yams

/// A node of a profile that knows where it is.
struct ProfileNode {
    let node: Node
    let path: String
    let field: String

    init(_ node: Node, path: String, field: String) {
        self.node = node
        self.path = path
        self.field = field
    }

    /// The root of a YAML text; `expected` says what it should be.
    init(yaml text: String, path: String, expected: String) throws(ProfileError) {
        let node: Node?
        do {
            node = try Yams.compose(yaml: text)
        } catch {
            let lines = "\(error)".split(whereSeparator: \.isNewline).map(\.trimmed).filter { !$0.isEmpty && $0 != "^" }
            throw ProfileError(path: path, problem: "not YAML: " + lines.joined(separator: " ").safeExcerpt)
        }
        guard let node else { throw ProfileError(path: path, problem: "is empty, expected \(expected)") }
        self.init(node, path: path, field: "")
    }

    /// The text of a file.
    static func text(of path: String) throws(ProfileError) -> String {
        do {
            return try String(contentsOfFile: path, encoding: .utf8)
        } catch {
            throw ProfileError(
                path: path, problem: "can not be read: \(error.localizedDescription)", isInputOutput: true)
        }
    }

    func problem(_ text: String) -> ProfileError {
        ProfileError(path: path, line: node.mark?.line, field: field.isEmpty ? nil : field, problem: text)
    }

    struct Mapping {
        let owner: ProfileNode
        let fields: [String: ProfileNode]

        func ifAny(_ name: String) -> ProfileNode? { fields[name] }

        subscript(name: String) -> ProfileNode {
            get throws(ProfileError) {
                guard let node = fields[name] else { throw owner.problem("has no `\(name)`") }
                return node
            }
        }
    }

    func mapping(allowing names: [String]) throws(ProfileError) -> Mapping {
        guard let mapping = node.mapping else { throw problem("expected " + names.joined(separator: ", ")) }
        var fields: [String: ProfileNode] = [:]
        for (key, value) in mapping {
            let name = key.string ?? ""
            guard names.contains(name) else {
                let hint = nearest(to: name, among: names).map { "; did you mean `\($0)`?" } ?? ""
                throw ProfileError(
                    path: path, line: key.mark?.line, field: inner(name.safeExcerpt),
                    problem: "there is no such field" + hint)
            }
            fields[name] = ProfileNode(value, path: path, field: inner(name))
        }
        return Mapping(owner: self, fields: fields)
    }

    private func inner(_ name: String) -> String { field.isEmpty ? name : field + "." + name }

    var items: [ProfileNode] {
        get throws(ProfileError) {
            guard let sequence = node.sequence else { throw problem("expected a list") }
            return sequence.map { ProfileNode($0, path: path, field: field) }
        }
    }

    var text: String {
        get throws(ProfileError) {
            guard let text = node.scalar?.string else { throw problem("expected a single value") }
            return text
        }
    }

    /// The text of a field, if there is one; nothing is checked.
    func scalar(at name: String) -> String? { node.mapping?[Node(name)]?.scalar?.string }

    var isMapping: Bool { node.mapping != nil }

    var flag: Bool {
        get throws(ProfileError) {
            let text = try text
            do { return try Quantity.flag(text) } catch { throw found(text, error.expected) }
        }
    }

    var bytes: Bytes {
        get throws(ProfileError) {
            let text = try text
            do { return try Quantity.bytes(text) } catch { throw found(text, error.expected) }
        }
    }

    /// A share of something: above zero, at most one.
    var share: Double {
        get throws(ProfileError) {
            let value = try positive
            guard value <= 1 else { throw found(try text, "a share above zero and at most 1") }
            return value
        }
    }

    var positive: Double { get throws(ProfileError) { try number(in: Double.leastNormalMagnitude...1e300) } }

    func integer(in range: ClosedRange<Int>) throws(ProfileError) -> Int {
        let text = try text
        do { return try Quantity.integer(text, in: range) } catch { throw found(text, error.expected) }
    }

    func number(in range: ClosedRange<Double>) throws(ProfileError) -> Double {
        let text = try text
        guard let value = Double(text), value.isFinite, range.contains(value) else {
            throw found(
                text, range.lowerBound > 0 ? "a number above zero" : "a number from \(Quantity.short(range.lowerBound))"
            )
        }
        return value
    }

    func integers(in range: ClosedRange<Int>) throws(ProfileError) -> [Int] {
        var values: [Int] = []
        for item in try items { values.append(try item.integer(in: range)) }
        return values
    }

    func numbers(_ count: Int, in range: ClosedRange<Double>) throws(ProfileError) -> [Double] {
        let items = try items
        guard items.count == count else { throw problem("found \(items.count) numbers, expected \(count)") }
        var values: [Double] = []
        for item in items { values.append(try item.number(in: range)) }
        return values
    }

    private func found(_ text: String, _ expected: String) -> ProfileError {
        problem("found `\(text.safeExcerpt)`, expected \(expected)")
    }
}
