internal import Simulator

/// What is wrong with a condition over axes.
struct ConditionMistake: Error {
    let found: String
    let expected: String
}

extension Expression {
    /// Refuses comparisons that no point could change: of words that no axis knows, or with a text that stands nowhere on
    /// the axis it is compared with.
    ///
    /// - Parameter subjects: by name of a field or a dimension, its values as text.
    func check(_ subjects: [String: [String]]) throws(ConditionMistake) { try Self.check(root, subjects) }

    private static func check(_ node: Node, _ subjects: [String: [String]]) throws(ConditionMistake) {
        switch node {
        case .value, .name: break
        case .not(let inner), .negative(let inner): try check(inner, subjects)
        case .binary(let sign, let left, let right):
            guard sign.precedence == Operator.equal.precedence else {
                try check(left, subjects)
                try check(right, subjects)
                return
            }
            try checkComparison(sign, left, right, subjects)
        }
    }

    private static func checkComparison(
        _ sign: Operator, _ left: Node, _ right: Node, _ subjects: [String: [String]]
    ) throws(ConditionMistake) {
        let words = names(in: left) + names(in: right)
        let unknown = words.filter { subjects[$0] == nil }
        guard unknown.count < words.count else {
            let word = unknown.first { hint(for: $0, subjects) != nil } ?? unknown.first
            throw ConditionMistake(
                found: word ?? "a comparison of constants",
                expected: "a field that an axis changes on one side"
                    + (word.flatMap { hint(for: $0, subjects) } ?? ""))
        }
        guard sign == .equal || sign == .unequal else { return try checkAllKnown(unknown, subjects) }
        if try !checkText(left, right, subjects), try !checkText(right, left, subjects) {
            try checkAllKnown(unknown, subjects)
        }
    }

    /// Of sums, and of what is smaller or larger than something, every word is a number's name.
    private static func checkAllKnown(
        _ unknown: [String], _ subjects: [String: [String]]
    ) throws(ConditionMistake) {
        guard let word = unknown.first else { return }
        throw ConditionMistake(
            found: word, expected: "a number, or a field that an axis changes" + (hint(for: word, subjects) ?? ""))
    }

    /// Whether `subject` is an axis and `other` a constant, which must be one of the axis's kind then.
    private static func checkText(
        _ subject: Node, _ other: Node, _ subjects: [String: [String]]
    ) throws(ConditionMistake) -> Bool {
        guard case .name(let name) = subject, let values = subjects[name] else { return false }
        let text: String
        switch other {
        case .value(.text(let quoted), _): text = quoted
        case .name(let word):
            guard subjects[word] == nil else { return false }
            text = word
        case .value(.number(let number), _):
            guard !values.contains(where: { if case .number = Value(of: $0) { true } else { false } }) else {
                return true
            }
            throw ConditionMistake(found: Quantity.short(number), expected: listed(values, of: name))
        default: return false
        }
        if values.contains(where: { Value(of: $0) == .text(text) }) { return true }
        guard !values.contains(text) else {
            throw ConditionMistake(found: "'\(text)'", expected: "numbers without quotes")
        }
        let hint = nearest(to: text, among: values).map { "; did you mean `\($0)`?" } ?? ""
        throw ConditionMistake(found: text, expected: listed(values, of: name) + hint)
    }

    private static func listed(_ values: [String], of name: String) -> String {
        let most = 8
        let more = values.count > most ? " and \(values.count - most) more" : ""
        return "a value of \(name): \(values.prefix(most).joined(separator: ", "))\(more)"
    }

    /// A field may be meant by its last part alone.
    private static func hint(for word: String, _ subjects: [String: [String]]) -> String? {
        let names = subjects.keys.sorted()
        let last = Dictionary(
            names.map { ($0.split(separator: ".").last.map(String.init) ?? $0, $0) },
            uniquingKeysWith: { first, _ in first })
        let found =
            last[word] ?? nearest(to: word, among: names)
            ?? nearest(to: word, among: last.keys.sorted()).map {
                last[$0] ?? $0
            }
        return found.map { "; did you mean `\($0)`?" }
    }
}
