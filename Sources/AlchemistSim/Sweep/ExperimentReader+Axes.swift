internal import Simulator
internal import Yams

/// Reads the axes.
extension ExperimentReader {
    func axes(_ node: Node) throws(ScenarioError) -> [SweepAxis] {
        guard let mapping = node.mapping else {
            throw mistake(node, "axes", "expected fields with their values, as in `trace.rate: [1, 2, 4]`")
        }
        var axes: [SweepAxis] = []
        for (key, value) in mapping {
            let name = key.string ?? ""
            if name == "seeds" {
                axes.append(try seeds(key, value))
            } else if name == SweepAxis.seedName {
                throw mistake(
                    key, name,
                    "found a field of its own, expected an axis of seeds, which are the trace's, too, and over which means "
                        + "are taken; did you mean `seeds`?")
            } else if let zip = value.mapping?["zip"] {
                for (key, _) in value.mapping ?? [:] where !["zip", "labels"].contains(key.string) {
                    throw mistake(
                        key, name, "found `\((key.string ?? "").safeExcerpt)`, expected `zip` and, if wanted, `labels`")
                }
                axes.append(try zipped(name, key, zip, labels: value.mapping?["labels"]))
            } else {
                let values = try values(value, of: name)
                axes.append(
                    SweepAxis(
                        name: SweepAxis.dimension(of: name), kind: .field, fields: [name], rows: values.map { [$0] },
                        labels: values, line: key.mark?.line))
            }
            if let axis = axes.last { try checkNames(axis, key) }
        }
        return axes
    }

    private func checkNames(_ axis: SweepAxis, _ key: Node) throws(ScenarioError) {
        let isName = axis.name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
                true
            default: false
            }
        }
        guard isName, !axis.name.isEmpty else {
            throw mistake(
                key, "axes", "found `\(axis.name.safeExcerpt)`, expected a field, or a name of letters, digits and `_`")
        }
        for values in axis.rows {
            for value in values where value.isEmpty || value.contains(where: { $0.isNewline || $0 == "\t" }) {
                throw mistake(key, axis.name, "found `\(value.safeExcerpt)`, expected a value in one line")
            }
        }
        var known: Set<String> = []
        for label in axis.labels where !known.insert(label).inserted {
            throw mistake(key, axis.name, "found `\(label.safeExcerpt)` twice, expected each value once")
        }
    }

    /// `seeds: 5` for 1 to 5, or a list.
    private func seeds(_ key: Node, _ value: Node) throws(ScenarioError) -> SweepAxis {
        let labels: [String]
        if value.sequence != nil {
            labels = try values(value, of: "seeds")
        } else {
            guard let count = value.int, 1...100_000 ~= count else {
                throw mistake(key, "seeds", "expected how many seeds, from 1 to 100000, or a list of them")
            }
            labels = (1...count).map(String.init)
        }
        return SweepAxis(
            name: SweepAxis.seedName, kind: .seeds, fields: ["seed"], rows: labels.map { [$0] }, labels: labels,
            line: key.mark?.line)
    }

    private func zipped(_ name: String, _ key: Node, _ zip: Node, labels: Node?) throws(ScenarioError) -> SweepAxis {
        guard let mapping = zip.mapping, !mapping.isEmpty else {
            throw mistake(zip, name, "expected fields with equally many values each under `zip`")
        }
        var fields: [String] = []
        var columns: [[String]] = []
        for (field, node) in mapping {
            fields.append(field.string ?? "")
            columns.append(try values(node, of: field.string ?? ""))
            guard columns.last?.count == columns[0].count else {
                throw mistake(
                    field, name,
                    "found \(columns.last?.count ?? 0) values of `\(fields.last ?? "")`, expected "
                        + "\(columns[0].count) as of `\(fields[0])`: fields of a group change together")
            }
        }
        let rows = columns[0].indices.map { place in columns.map { $0[place] } }
        var names = rows.map { $0.joined(separator: ", ") }
        if let labels {
            names = try values(labels, of: "labels")
            guard names.count == rows.count else {
                throw mistake(labels, name, "found \(names.count) labels, expected \(rows.count)")
            }
        }
        return SweepAxis(
            name: SweepAxis.dimension(of: name), kind: .zipped, fields: fields, rows: rows, labels: names,
            line: key.mark?.line)
    }

    /// A list, or a range.
    private func values(_ node: Node, of field: String) throws(ScenarioError) -> [String] {
        if let items = node.sequence {
            var values: [String] = []
            for item in items {
                if let text = item.string, item.sequence == nil, item.mapping == nil {
                    values.append(text)
                } else if let list = item.sequence {
                    values.append(list.map { $0.string ?? "" }.joined(separator: ","))
                } else {
                    throw mistake(item, field, "expected values, each in one line")
                }
            }
            guard !values.isEmpty else { throw mistake(node, field, "expected at least one value") }
            return values
        }
        guard let mapping = node.mapping, let from = mapping["from"]?.string, let to = mapping["to"]?.string else {
            throw mistake(
                node, field, "expected a list of values, or a range such as {from: 1, to: 8, steps: 4, log: true}")
        }
        let known = ["from", "to", "steps", "step", "factor", "log", "round"]
        for (key, _) in mapping where !known.contains(key.string ?? "") {
            throw mistake(
                key, field,
                "found `\((key.string ?? "").safeExcerpt)`, expected one of \(known.joined(separator: ", "))")
        }
        let range = SweepRange(
            from: from, to: to, steps: mapping["steps"]?.string, step: mapping["step"]?.string,
            factor: mapping["factor"]?.string, isLog: try flag(mapping["log"], field),
            rounds: try flag(mapping["round"], field))
        do throws(ValueProblem) {
            return try range.values()
        } catch {
            throw mistake(
                node, field, "found a range from \(from.safeExcerpt) to \(to.safeExcerpt), expected \(error.expected)")
        }
    }
}
