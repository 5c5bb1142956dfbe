internal import Foundation
internal import Results
internal import Simulator

/// A dimension of a sweep: one field, several that change together, or seeds.
struct SweepAxis: Sendable, Equatable {
    enum Kind: Sendable, Equatable { case field, zipped, seeds }

    /// The dimension's name in merged results: letters, digits and `_`.
    let name: String
    let kind: Kind
    /// Fields of the scenario, settings of the trace with `trace.` before them, or `trace` itself.
    let fields: [String]
    /// By place, a value for each field.
    let rows: [[String]]
    /// What places are called: the values, or the labels of a zipped group.
    let labels: [String]
    let line: Int?

    /// The field that names a trace's path.
    static let traceField = "trace"
    static let seedName = "seed"

    /// All that points along the axis have set: seeds are the trace's, too.
    var changes: [String] { kind == .seeds ? fields + [TraceSettings.prefix + "seed"] : fields }

    /// A field's name as a dimension's.
    static func dimension(of field: String) -> String { field.replacingOccurrences(of: ".", with: "_") }

    /// The places as a merge describes them.
    var merged: MergedAxis {
        switch kind {
        case .seeds:
            return MergedAxis(
                scale: Self.coordinate(name, "seed of weights, feedback, tokens and, if it is made, the trace", labels),
                isSeeds: true)
        case .field:
            return MergedAxis(scale: Self.coordinate(name, fields.joined(separator: ", "), labels))
        case .zipped:
            return MergedAxis(
                scale: .init(
                    name: name, unit: .one, description: "together: " + fields.joined(separator: ", "),
                    values: .texts(labels)),
                others: fields.enumerated().map { index, field in
                    Self.coordinate(Self.dimension(of: field), field, rows.map { $0[index] })
                })
        }
    }

    /// Whole numbers, numbers, times in seconds, memory in bytes, or else texts.
    private static func coordinate(_ name: String, _ description: String, _ values: [String]) -> MergedAxis.Coordinate {
        let whole = values.compactMap { Int64($0) }
        if whole.count == values.count {
            return .init(name: name, unit: .one, description: description, values: .integers(whole))
        }
        let numbers = values.compactMap { Double($0) }
        if numbers.count == values.count, numbers.allSatisfy(\.isFinite) {
            return .init(name: name, unit: .one, description: description, values: .numbers(numbers))
        }
        let times = values.compactMap { try? Quantity.duration($0).seconds }
        if times.count == values.count {
            return .init(name: name, unit: .seconds, description: description, values: .numbers(times))
        }
        let bytes = values.compactMap { try? Quantity.bytes($0) }
        if bytes.count == values.count {
            return .init(
                name: name, unit: .bytes, description: description, values: .integers(bytes.map { Int64($0.count) }))
        }
        return .init(name: name, unit: .one, description: description, values: .texts(values))
    }
}

/// A range of values: `{from: 1, to: 8, steps: 4}`, `{from: 1, to: 64, factor: 2}`, `{from: 1GiB, to: 4GiB, step: 1GiB}`,
/// with `log: true` for equal ratios and `round: true` for whole numbers.
struct SweepRange {
    var from: String
    var to: String
    var steps: String?
    var step: String?
    var factor: String?
    var isLog = false
    var rounds = false

    private static let mostValues = 100_000

    /// The values as text, ends included.
    func values() throws(ValueProblem) -> [String] {
        let (low, unit) = try Self.split(from)
        let (high, otherUnit) = try Self.split(to)
        guard unit == otherUnit else { throw ValueProblem(expected: "the same unit in from and to") }
        guard low <= high else { throw ValueProblem(expected: "from at most as large as to") }
        let given = [steps, step, factor].compactMap(\.self).count
        guard given == 1 else { throw ValueProblem(expected: "one of steps, step and factor") }
        if isLog || factor != nil, low <= 0 { throw ValueProblem(expected: "from above zero, for equal ratios") }
        var values: [Double] = []
        if let steps {
            let count = try Quantity.integer(steps, in: 1...Self.mostValues)
            guard count > 1 || low == high else { throw ValueProblem(expected: "at least 2 steps") }
            values = (0..<count).map { index in
                if index == count - 1 { return high }
                let share = count > 1 ? Double(index) / Double(count - 1) : 0
                return isLog ? low * pow(high / low, share) : low + (high - low) * share
            }
        } else if let factor {
            let ratio = try Quantity.number(factor, in: 1.000001...1e12)
            // The last may be off by rounding.
            var value = low
            while value <= high * (1 + 1e-9) {
                values.append(value)
                guard values.count <= Self.mostValues else { throw Self.tooMany }
                value = low * pow(ratio, Double(values.count))
            }
        } else if let step {
            guard !isLog else { throw ValueProblem(expected: "steps or factor with log: true") }
            let (width, widthUnit) = try Self.split(step)
            guard width > 0, widthUnit == unit || widthUnit.isEmpty else {
                throw ValueProblem(expected: "a step above zero, in the unit of from")
            }
            guard (high - low) / width < Double(Self.mostValues) else { throw Self.tooMany }
            values = (0...Int((high - low) / width + 1e-9)).map { low + width * Double($0) }
        }
        var texts: [String] = []
        for value in values {
            let text = Self.text(rounds ? value.rounded() : value) + unit
            // Rounding may make neighbours one.
            if texts.last != text { texts.append(text) }
        }
        return texts
    }

    private static let tooMany = ValueProblem(expected: "at most \(mostValues) values")

    /// Twelve significant digits at most, so that 0.1 + 0.2 is 0.3.
    private static func text(_ value: Double) -> String {
        let rounded = Double(String(format: "%.12g", value)) ?? value
        return Quantity.short(rounded)
    }

    /// A number and the unit behind it.
    static func split(_ text: String) throws(ValueProblem) -> (Double, unit: String) {
        for length in 0...min(5, text.count) {
            let digits = text.dropLast(length)
            if let value = Double(digits), value.isFinite { return (value, String(text.suffix(length))) }
        }
        throw ValueProblem(expected: "a number, with a unit if the field has one")
    }
}
