import Foundation

/// A table on standard output, row by row as figures come, and the same as JSON.
struct BenchReport {
    private var figures: [Figure] = []

    mutating func add(_ figure: Figure) {
        if figures.isEmpty { row("", "median", "lowest", "highest", "of limit") }
        figures.append(figure)
        row(
            figure.name, text(figure.value), text(figure.range.lowerBound),
            text(figure.range.upperBound) + " " + figure.unit, figure.limitFraction.map { fixed($0, 3) } ?? "-")
    }

    /// Writes all figures; the file appears whole or not at all, in a folder that is made if need be.
    func write(to path: String) throws {
        let url = URL(fileURLWithPath: path)
        try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .withoutEscapingSlashes, .sortedKeys]
        try encoder.encode(figures).write(to: url, options: .atomic)
    }

    private func row(_ name: String, _ cells: String...) {
        let widths = [10, 10, 22, 9]
        let padded = zip(cells, widths).map { cell, width in
            String(repeating: " ", count: max(1, width - cell.count)) + cell
        }
        print(name + String(repeating: " ", count: max(1, 58 - name.count)) + padded.joined())
        fflush(nil)
    }

    /// Four significant figures or so.
    private func text(_ value: Double) -> String {
        fixed(value, value >= 1000 ? 0 : value >= 100 ? 1 : value >= 10 ? 2 : 3)
    }

    private func fixed(_ value: Double, _ decimals: Int) -> String {
        value.formatted(
            .number.precision(.fractionLength(decimals)).grouping(.never).locale(Locale(identifier: "en_US_POSIX")))
    }
}
