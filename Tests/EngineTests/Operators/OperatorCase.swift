import Engine
import Testing

/// An operator on operands of one shape: how its kernel runs, and what should come of it.
///
/// A new operator is a type with these few lines and a list of its shapes, and that list's name in `OperatorTable`.
protocol OperatorCase: Sendable, CustomTestStringConvertible {
    /// Operator, sizes, and what is special.
    var title: String { get }
    /// Whether the kernel's results are the same bits on any number of threads; on one number they always are.
    var isSameOnAnyWidth: Bool { get }
    /// Runs the kernel on fresh operands; the results in the order of `references`.
    func compute(_ arena: inout Arena, _ pool: ThreadPool) -> [[Float]]
    /// What the oracle says of the same operands.
    func references() -> [Reference]
}

extension OperatorCase {
    var isSameOnAnyWidth: Bool { true }
    var testDescription: String { title }
}

/// All operators, in all their shapes.
enum OperatorTable {
    static let all: [any OperatorCase] = [
        ProductCase.table, NormCase.table, RotaryCase.table, SwiGLUCase.table, CrossEntropyCase.table,
        EmbeddingCase.table, ColumnSumCase.table, AttentionCase.table, LoRACase.table, AdamWCase.table,
        SquaredNormCase.table, VectorCase.table, RowMoveCase.table,
    ].flatMap { $0 }
}

/// The `Float` kernels against the `Double` oracles: every element within what rounding explains, the same on every run,
/// and nothing touched outside of the operands.
@Suite("Operators against oracles")
struct OperatorTests {
    @Test("on one to three threads, twice", arguments: OperatorTable.all)
    func agrees(_ operation: any OperatorCase) {
        let references = operation.references()
        for reference in references where !reference.values.isEmpty {
            #expect(
                reference.spoiled().map { reference.share(of: $0).share > 1 } ?? false,
                "a wrong \(reference.name) would pass")
        }
        var onOne: [[Float]] = []
        for width in 1...3 {
            let pool = ThreadPool(width: width)
            let results = Self.run(operation, pool)
            if width == 1 { onOne = results }
            for (result, reference) in zip(results, references) {
                reference.expect(result, "\(operation.title), \(width) threads")
            }
            #expect(results.count == references.count)
            #expect(Self.bits(Self.run(operation, pool)) == Self.bits(results), "another run, \(width) threads")
            if operation.isSameOnAnyWidth {
                #expect(Self.bits(results) == Self.bits(onOne), "\(width) threads differ from one")
            }
        }
    }

    private static func run(_ operation: any OperatorCase, _ pool: ThreadPool) -> [[Float]] {
        var arena = Arena()
        let results = operation.compute(&arena, pool)
        let isIntact = arena.isIntact()
        #expect(isIntact, "\(operation.title), \(pool.width) threads: written outside of the operands")
        return results
    }

    private static func bits(_ results: [[Float]]) -> [[UInt32]] { results.map { $0.map(\.bitPattern) } }
}
