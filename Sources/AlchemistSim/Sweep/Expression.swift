internal import Simulator

/// A condition over named values, as constraints and objectives are written: comparisons joined by `and`, `or` and `not`,
/// sums and products of numbers on their sides.
///
/// Numbers may have units (`500ms`, `4GiB`, `10%`), and count seconds, bytes and shares then. A name has letters, digits,
/// `_`, `.` and, between letters, `-`: a minus sign needs spaces. A word that names no value is text, which only `==` and
/// `!=` take.
struct Expression: Sendable {
    enum Value: Sendable, Equatable {
        case number(Double)
        case text(String)
        case truth(Bool)
        /// A figure that does not apply: every comparison with it is false.
        case absent

        /// The value that a setting's text stands for: a number, with or without a unit, or text.
        init(of text: String) {
            self = Expression.number(text).map(Value.number) ?? .text(text)
        }
    }

    enum Operator: String, Sendable {
        case or, and
        case less = "<"
        case atMost = "<="
        case more = ">"
        case atLeast = ">="
        case equal = "=="
        case unequal = "!="
        case plus = "+"
        case minus = "-"
        case times = "*"
        case over = "/"

        var precedence: Int {
            switch self {
            case .or: 1
            case .and: 2
            case .less, .atMost, .more, .atLeast, .equal, .unequal: 3
            case .plus, .minus: 4
            case .times, .over: 5
            }
        }
    }

    indirect enum Node: Sendable {
        /// A constant, with the unit that it was written with.
        case value(Value, Unit)
        case name(String)
        case not(Node)
        case negative(Node)
        case binary(Operator, Node, Node)
    }

    /// The unit of a constant.
    enum Unit: Sendable { case none, time, memory, bandwidth, share }

    let text: String
    let root: Node

    init(_ text: String) throws(ValueProblem) {
        self.text = text
        var parser = ExpressionParser(try ExpressionLexer.tokens(of: text))
        root = try parser.expression(above: 0)
        guard parser.isAtEnd else { throw ValueProblem(expected: "one condition such as `rate <= 8 and p > 0.5`") }
    }

    /// Every name in it, words that are meant as text among them.
    var names: [String] { Self.names(in: root) }

    static func names(in node: Node) -> [String] {
        switch node {
        case .value: []
        case .name(let name): [name]
        case .not(let inner), .negative(let inner): names(in: inner)
        case .binary(_, let a, let b): names(in: a) + names(in: b)
        }
    }

    /// Whether the condition holds.
    ///
    /// - Parameter lookup: the value of a name; nil if it names none, and is text.
    func holds(_ lookup: (String) -> Value?) throws(ValueProblem) -> Bool {
        switch try Self.evaluate(root, lookup) {
        case .truth(let truth): truth
        case .absent: false
        case .number, .text: throw ValueProblem(expected: "a comparison, such as `rate <= 8`")
        }
    }

    private static func evaluate(_ node: Node, _ lookup: (String) -> Value?) throws(ValueProblem) -> Value {
        switch node {
        case .value(let value, _): return value
        case .name(let name): return lookup(name) ?? .text(name)
        case .not(let inner):
            switch try evaluate(inner, lookup) {
            case .truth(let truth): return .truth(!truth)
            case .absent: return .truth(false)
            case .number, .text: throw ValueProblem(expected: "a comparison after `not`")
            }
        case .negative(let inner):
            guard case .number(let number) = try evaluate(inner, lookup) else {
                throw ValueProblem(expected: "a number after `-`")
            }
            return .number(-number)
        case .binary(let sign, let left, let right):
            return try apply(sign, try evaluate(left, lookup), try evaluate(right, lookup))
        }
    }

    private static func apply(_ sign: Operator, _ a: Value, _ b: Value) throws(ValueProblem) -> Value {
        switch sign {
        case .and, .or:
            func truth(_ value: Value) throws(ValueProblem) -> Bool {
                switch value {
                case .truth(let truth): return truth
                case .absent: return false
                case .number, .text: throw ValueProblem(expected: "comparisons on both sides of `\(sign.rawValue)`")
                }
            }
            let (left, right) = (try truth(a), try truth(b))
            return .truth(sign == .and ? left && right : left || right)
        default: break
        }
        if a == .absent || b == .absent { return sign.precedence == 3 ? .truth(false) : .absent }
        if sign == .equal { return .truth(a == b) }
        if sign == .unequal { return .truth(a != b) }
        guard case .number(let left) = a, case .number(let right) = b else {
            let word = if case .text(let text) = a { text } else if case .text(let text) = b { text } else { "" }
            throw ValueProblem(
                expected: "numbers on both sides of `\(sign.rawValue)`"
                    + (word.isEmpty ? "" : "; `\(word.safeExcerpt)` is none, and names no value here"))
        }
        return switch sign {
        case .less: .truth(left < right)
        case .atMost: .truth(left <= right)
        case .more: .truth(left > right)
        case .atLeast: .truth(left >= right)
        case .plus: .number(left + right)
        case .minus: .number(left - right)
        case .times: .number(left * right)
        default: .number(left / right)
        }
    }

    /// The number that a text stands for: plain, or with a unit of time, memory, bandwidth or share.
    static func number(_ text: String) -> Double? { quantity(text)?.value }

    /// The same, and the unit that it is written with.
    static func quantity(_ text: String) -> (value: Double, unit: Unit)? {
        if let value = Double(text), value.isFinite { return (value, .none) }
        if text.hasSuffix("%"), let value = Double(text.dropLast()), value.isFinite { return (value / 100, .share) }
        guard text.first.map({ $0.isNumber || $0 == "." }) == true else { return nil }
        if let time = try? Quantity.duration(text) { return (time.seconds, .time) }
        if let bytes = try? Quantity.bytes(text) { return (Double(bytes.count), .memory) }
        return (try? Quantity.bandwidth(text)).map { ($0, .bandwidth) }
    }
}

private enum Token: Equatable {
    case sign(String)
    case word(String)
    case quoted(String)
    case number(Double, Expression.Unit)
}

private enum ExpressionLexer {
    static func tokens(of text: String) throws(ValueProblem) -> [Token] {
        let scalars = Array(text)
        var tokens: [Token] = []
        var place = 0
        while place < scalars.count {
            let character = scalars[place]
            if character.isWhitespace {
                place += 1
            } else if character == "'" || character == "\"" {
                guard let end = scalars[(place + 1)...].firstIndex(of: character) else {
                    throw ValueProblem(expected: "a closing \(character)")
                }
                tokens.append(.quoted(String(scalars[(place + 1)..<end])))
                place = end + 1
            } else if character.isNumber || character == "." {
                var end = place
                while end < scalars.count, continuesNumber(scalars, end) { end += 1 }
                let word = String(scalars[place..<end])
                guard let (value, unit) = Expression.quantity(word) else {
                    throw ValueProblem(expected: "a number instead of `\(word.safeExcerpt)`")
                }
                tokens.append(.number(value, unit))
                place = end
            } else if character.isLetter || character == "_" {
                var end = place
                while end < scalars.count, continuesWord(scalars, end) { end += 1 }
                tokens.append(.word(String(scalars[place..<end])))
                place = end
            } else {
                let two = String(scalars[place..<min(place + 2, scalars.count)])
                let sign = ["<=", ">=", "==", "!="].contains(two) ? two : String(character)
                guard Expression.Operator(rawValue: sign) != nil || "()".contains(sign) else {
                    throw ValueProblem(
                        expected: "comparisons with <, <=, >, >=, ==, !=; `\(sign.safeExcerpt)` is no sign")
                }
                tokens.append(.sign(sign))
                place += sign.count
            }
        }
        return tokens
    }

    private static func continuesNumber(_ text: [Character], _ place: Int) -> Bool {
        let character = text[place]
        if character.isLetter || character.isNumber || character == "." || character == "%" { return true }
        // 1e-3 and 25GB/s.
        let before = place > 0 ? text[place - 1] : " "
        if character == "-" || character == "+" {
            return before == "e" && place > 1 && (text[place - 2].isNumber || text[place - 2] == ".")
        }
        return character == "/" && before == "B" && place + 1 < text.count && text[place + 1] == "s"
    }

    private static func continuesWord(_ text: [Character], _ place: Int) -> Bool {
        let character = text[place]
        if character.isLetter || character.isNumber || character == "_" || character == "." { return true }
        return character == "-" && place + 1 < text.count && text[place + 1].isLetter
    }
}

private struct ExpressionParser {
    private let tokens: [Token]
    private var place = 0
    private var depth = 0

    init(_ tokens: [Token]) { self.tokens = tokens }

    var isAtEnd: Bool { place == tokens.count }

    /// What stands here, as far as its signs bind more closely than `precedence`.
    mutating func expression(above precedence: Int) throws(ValueProblem) -> Expression.Node {
        depth += 1
        defer { depth -= 1 }
        guard depth < 100 else { throw ValueProblem(expected: "fewer parentheses") }
        var left = try operand()
        while let sign, sign.precedence > precedence {
            place += 1
            left = .binary(sign, left, try expression(above: sign.precedence))
        }
        return left
    }

    private var sign: Expression.Operator? {
        guard place < tokens.count else { return nil }
        return switch tokens[place] {
        case .sign(let text): Expression.Operator(rawValue: text)
        case .word("and"): .and
        case .word("or"): .or
        default: nil
        }
    }

    private mutating func operand() throws(ValueProblem) -> Expression.Node {
        guard place < tokens.count else { throw ValueProblem(expected: "something after the last sign") }
        let token = tokens[place]
        place += 1
        switch token {
        case .number(let value, let unit): return .value(.number(value), unit)
        case .quoted(let text): return .value(.text(text), .none)
        case .word("not"): return .not(try expression(above: Expression.Operator.and.precedence))
        case .word(let name): return .name(name)
        case .sign("-"): return .negative(try expression(above: Expression.Operator.times.precedence))
        case .sign("("):
            let inner = try expression(above: 0)
            guard place < tokens.count, tokens[place] == .sign(")") else {
                throw ValueProblem(expected: "a closing parenthesis")
            }
            place += 1
            return inner
        case .sign(let sign): throw ValueProblem(expected: "a name or a number instead of `\(sign)`")
        }
    }
}
