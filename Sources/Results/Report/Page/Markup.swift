/// HTML or SVG text. What is put into it as a `String` is escaped; only literals and other markup stand as they are, so
/// nothing that comes from a file can become a tag.
struct Markup: ExpressibleByStringInterpolation {
    private(set) var text: String

    init(stringLiteral value: String) { text = value }

    init(stringInterpolation: StringInterpolation) { text = stringInterpolation.text }

    private init(raw: String) { text = raw }

    struct StringInterpolation: StringInterpolationProtocol {
        fileprivate var text = ""

        init(literalCapacity: Int, interpolationCount: Int) { text.reserveCapacity(literalCapacity) }

        mutating func appendLiteral(_ literal: String) { text += literal }
        mutating func appendInterpolation(_ value: String) { text += Markup.escaped(value) }
        mutating func appendInterpolation(_ value: Int) { text += String(value) }
        mutating func appendInterpolation(_ value: Markup) { text += value.text }
        /// A coordinate of a picture, with one decimal.
        mutating func appendInterpolation(at value: Double) {
            let tenths = Int((value * 10).rounded())
            if tenths < 0 { text += "-" }
            text += tenths % 10 == 0 ? "\(abs(tenths) / 10)" : "\(abs(tenths) / 10).\(abs(tenths) % 10)"
        }
    }

    static func + (one: Markup, other: Markup) -> Markup { Markup(raw: one.text + other.text) }
    static func += (one: inout Markup, other: Markup) { one.text += other.text }

    /// One after the other.
    static func joined(_ parts: some Sequence<Markup>) -> Markup { Markup(raw: parts.map(\.text).joined()) }

    /// Text that neither ends nor begins anything, in elements or in quoted attributes. Characters that HTML does not
    /// allow become U+FFFD.
    private static func escaped(_ value: String) -> String {
        var result = ""
        result.reserveCapacity(value.utf8.count)
        for scalar in value.unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case "'": result += "&#39;"
            case "\t", "\n", "\r": result.unicodeScalars.append(scalar)
            case "\0"..." ", "\u{7f}"..."\u{9f}": result += scalar == " " ? " " : "\u{fffd}"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
