/// What the values of records are rounded to where they are stored in less than 32 bits.
public enum NarrowPrecision: String, Sendable, Hashable, CaseIterable {
    /// The upper half of a float, rounded to nearest, ties to even.
    case bf16
    /// 8 bits, symmetric, with an fp32 scale for each row of each tensor.
    case int8
}

/// Where the rows of some tensors lie in a `NarrowBlock`: first what is kept in 32 bits, scales and exact planes, then the
/// rounded values, plane by plane, without gaps.
public struct NarrowLayout: Sendable, Hashable {
    struct Plane: Sendable, Hashable {
        let rows: Int
        let columns: Int
        /// Kept in fp32, because it is an exponent's logarithm rather than a value.
        let isExact: Bool
        /// Bytes before the scale of the first row.
        var scales = 0
        /// Bytes before the values of the first row.
        var values = 0
    }

    public let precision: NarrowPrecision
    /// Tokens held.
    public let rows: Int
    /// Of activations: tokens held of which the planes after the input are.
    public let queryRows: Int
    /// Of activations: which planes there are.
    public let plan: SavePlan?
    public let byteCount: Int
    let planes: [Plane]

    private init(
        _ precision: NarrowPrecision, rows: Int, queryRows: Int = 0, plan: SavePlan? = nil,
        _ shapes: [(rows: Int, columns: Int, isExact: Bool)]
    ) {
        precondition(rows > 0, "a block holds at least one token")
        precondition(queryRows >= 0 && queryRows <= rows, "\(queryRows) of \(rows) tokens")
        self.precision = precision
        self.rows = rows
        self.queryRows = queryRows
        self.plan = plan
        var planes = shapes.map { Plane(rows: $0.rows, columns: $0.columns, isExact: $0.isExact) }
        var next = 0
        for index in planes.indices {
            planes[index].scales = next
            planes[index].values = next
            if planes[index].isExact {
                next += planes[index].rows * planes[index].columns * 4
            } else if precision == .int8 {
                next += planes[index].rows * 4
            }
        }
        for index in planes.indices where !planes[index].isExact {
            planes[index].values = next
            next += planes[index].rows * planes[index].columns * (precision == .int8 ? 1 : 2)
        }
        self.planes = planes
        byteCount = next
    }

    /// The planes of an `ActivationBlock`; gate and up are planes of their own.
    public static func activations(
        _ config: ModelConfig, rows: Int, queryRows: Int? = nil, plan: SavePlan = .full, _ precision: NarrowPrecision
    ) -> NarrowLayout {
        let queries = queryRows ?? rows
        var shapes = [(rows: rows, columns: config.hidden, isExact: false)]
        if plan.savesAttention {
            shapes += [
                (queries, config.queryWidth, false), (queries, config.queryWidth, false),
                (queries, config.heads, true), (queries, config.hidden, false),
            ]
        }
        if plan.savesGate { shapes += [(queries, config.intermediate, false), (queries, config.intermediate, false)] }
        return NarrowLayout(precision, rows: rows, queryRows: queries, plan: plan, shapes)
    }

    /// The final norm's input of `rows` tokens.
    public static func final(_ config: ModelConfig, rows: Int, _ precision: NarrowPrecision) -> NarrowLayout {
        NarrowLayout(precision, rows: rows, [(rows, config.hidden, false)])
    }

    /// K and V of `rows` tokens in one layer.
    public static func keysAndValues(_ config: ModelConfig, rows: Int, _ precision: NarrowPrecision) -> NarrowLayout {
        NarrowLayout(precision, rows: rows, [(rows, config.keyWidth, false), (rows, config.keyWidth, false)])
    }

    /// One row of a plane by itself.
    func row(of plane: Int) -> NarrowLayout { NarrowLayout(precision, rows: 1, [(1, planes[plane].columns, false)]) }
}
