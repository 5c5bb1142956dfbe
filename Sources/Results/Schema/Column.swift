internal import Simulator

/// One column of a table: its name, its unit, what it says, and how to get it from a row.
///
/// A table of the file is a list of these, so that what is written and what describes it stand in one place.
struct Column<Row> {
    enum Source {
        case number(HDF5ElementType, encode: (Row, inout [UInt8]) -> Void)
        case text((Row) -> String)
    }

    let name: String
    let unit: MetricUnit
    let description: String
    /// Attributes beyond `units` and `description`.
    let attributes: [(name: String, value: HDF5Attribute)]
    let source: Source
}

/// What stands in for a value that is not there. Columns that may lack values say so in an attribute.
enum MissingValue {
    static let attribute = "missing_value"
    static let integer: Int64 = -1
    static let real = Double.nan
    static let text = ""
}

extension Column {
    /// A point in virtual time.
    static func time(_ name: String, _ description: String, _ value: @escaping (Row) -> SimTime) -> Column {
        integer(name, .nanoseconds, description) { value($0).nanoseconds }
    }

    /// A point in virtual time that may not have come.
    static func time(ifAny name: String, _ description: String, _ value: @escaping (Row) -> SimTime?) -> Column {
        integer(ifAny: name, .nanoseconds, description) { value($0)?.nanoseconds }
    }

    static func duration(_ name: String, _ description: String, _ value: @escaping (Row) -> SimDuration) -> Column {
        integer(name, .nanoseconds, description) { value($0).nanoseconds }
    }

    static func duration(
        ifAny name: String, _ description: String, _ value: @escaping (Row) -> SimDuration?
    ) -> Column {
        integer(ifAny: name, .nanoseconds, description) { value($0)?.nanoseconds }
    }

    static func bytes(_ name: String, _ description: String, _ value: @escaping (Row) -> Bytes) -> Column {
        integer(name, .bytes, description) { Int64(value($0).count) }
    }

    static func count(_ name: String, _ description: String, _ value: @escaping (Row) -> Int) -> Column {
        integer(name, .one, description) { Int64(value($0)) }
    }

    static func tokens(_ name: String, _ description: String, _ value: @escaping (Row) -> Int) -> Column {
        integer(name, .tokens, description) { Int64(value($0)) }
    }

    static func integer(
        _ name: String, _ unit: MetricUnit, _ description: String, _ value: @escaping (Row) -> Int64
    ) -> Column {
        number(name, unit, description, [], value)
    }

    static func integer(
        ifAny name: String, _ unit: MetricUnit, _ description: String, _ value: @escaping (Row) -> Int64?
    ) -> Column {
        number(name, unit, description, [(MissingValue.attribute, .int64(MissingValue.integer))]) {
            value($0) ?? MissingValue.integer
        }
    }

    /// A column of 32-bit indices.
    static func index(_ name: String, _ description: String, _ value: @escaping (Row) -> Int32) -> Column {
        number(name, .one, description, [], value)
    }

    static func real(
        _ name: String, _ unit: MetricUnit, _ description: String, _ value: @escaping (Row) -> Double
    ) -> Column {
        number(name, unit, description, [], value)
    }

    static func real(
        ifAny name: String, _ unit: MetricUnit, _ description: String, _ value: @escaping (Row) -> Double?
    ) -> Column {
        number(name, unit, description, [(MissingValue.attribute, .float64(MissingValue.real))]) {
            value($0) ?? MissingValue.real
        }
    }

    /// An enumeration as its place in `names`, which the attribute `values` spells out.
    static func code(
        _ name: String, _ description: String, _ names: [String], _ value: @escaping (Row) -> Int
    ) -> Column {
        let legend = names.enumerated().map { "\($0.offset)=\($0.element)" }.joined(separator: ", ")
        return number(name, .one, description, [("values", .text(legend))]) { Int32(value($0)) }
    }

    static func text(_ name: String, _ description: String, _ value: @escaping (Row) -> String) -> Column {
        Column(name: name, unit: .one, description: description, attributes: [], source: .text(value))
    }

    static func text(ifAny name: String, _ description: String, _ value: @escaping (Row) -> String?) -> Column {
        let attributes = [(name: MissingValue.attribute, value: HDF5Attribute.text(MissingValue.text))]
        return Column(
            name: name, unit: .one, description: description, attributes: attributes,
            source: .text { value($0) ?? MissingValue.text })
    }

    private static func number<Number: HDF5Number>(
        _ name: String, _ unit: MetricUnit, _ description: String, _ attributes: [(name: String, value: HDF5Attribute)],
        _ value: @escaping (Row) -> Number
    ) -> Column {
        Column(
            name: name, unit: unit, description: description, attributes: attributes,
            source: .number(Number.elementType) { row, bytes in value(row).encode(into: &bytes) })
    }
}
