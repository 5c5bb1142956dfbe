/// One comparison of the file: its arms and its figures, live and over one common table of costs.
struct ReportComparison {
    typealias Figures = [String: (median: Double, lowest: Double, highest: Double)]

    var baseline: String
    var candidate: String
    var reference: String
    var live: Figures
    var paired: Figures

    static func all(in results: borrowing ResultsFile) throws(ResultsError) -> [ReportComparison] {
        let live = try rows(of: Schema.comparison, in: results)
        let paired = try rows(of: Schema.paired, in: results)
        return live.enumerated().map { index, row in
            ReportComparison(
                baseline: row.texts["baseline"] ?? "", candidate: row.texts["candidate"] ?? "",
                reference: row.texts["reference"] ?? "", live: row.figures,
                paired: paired.indices.contains(index) ? paired[index].figures : [:])
        }
    }

    private static func rows(
        of path: String, in results: borrowing ResultsFile
    ) throws(ResultsError) -> [(texts: [String: String], figures: Figures)] {
        let table = try results.group(at: path)
        var rows = Array(repeating: (texts: [String: String](), values: [String: Double]()), count: table.rows)
        for column in table.columns {
            switch try results.values(at: column.path) {
            case .text(let values):
                for (row, value) in values.enumerated() { rows[row].texts[column.name] = value }
            case .float64(let values):
                for (row, value) in values.enumerated() where value.isFinite { rows[row].values[column.name] = value }
            default: break
            }
        }
        return rows.map { row in
            var figures: Figures = [:]
            for (name, median) in row.values where !name.hasSuffix("_min") && !name.hasSuffix("_max") {
                figures[name] = (median, row.values[name + "_min"] ?? median, row.values[name + "_max"] ?? median)
            }
            return (row.texts, figures)
        }
    }
}
