internal import Foundation
public import Simulator

/// Timings of single operators on an accelerator, from a table that another tool measured.
///
/// Read is the format of Vidur's profiles: medians in ms, one row for each number of tokens and of devices that share the
/// layers; a table of collectives by bytes.
public struct OperatorTimings: Sendable {
    /// One timed operator.
    public struct Sample: Sendable {
        public enum Work: Sendable {
            /// A product of [rows, depth] and [depth, columns].
            case product(rows: Int, columns: Int, depth: Int)
            /// A pass over `values` values in rows of `width`, that moves each of them `moved` times, as operator lists
            /// count it.
            case pass(values: Int, width: Int, moved: Int)
            case allReduce(bytes: Double)
        }

        public var role: Operator.Role
        public var work: Work
        public var tokens: Int
        public var devices: Int
        public var seconds: Double
    }

    public let path: String
    public let samples: [Sample]

    public init(contentsOf path: String) throws(ProfileError) {
        self.path = path
        let table = try CSVTable(contentsOf: path)
        samples = table.has("collective") ? try Self.collectives(table) : try Self.layers(table)
        guard !samples.isEmpty else { throw ProfileError(path: path, problem: "has no timings") }
    }

    private static func median(_ name: String) -> String { "time_stats.\(name).median" }

    private static func collectives(_ table: CSVTable) throws(ProfileError) -> [Sample] {
        var samples: [Sample] = []
        for row in table.rows {
            let workers = try row.integer("num_workers")
            // Devices of one machine only: between machines another link decides.
            guard try row.text("collective") == "all_reduce", try row.integer("devices_per_node") == workers else {
                continue
            }
            samples.append(
                Sample(
                    role: .attentionOutput, work: .allReduce(bytes: try row.number("size")), tokens: 0,
                    devices: workers,
                    seconds: try row.number(median("all_reduce")) * 1e-3))
        }
        return samples
    }

    private static func layers(_ table: CSVTable) throws(ProfileError) -> [Sample] {
        var samples: [Sample] = []
        for row in table.rows {
            let devices = try row.integer("num_tensor_parallel_workers")
            let m = try row.integer("num_tokens")
            let h = try row.integer("n_embd")
            let heads = try row.integer("n_head")
            let d = h / heads
            let q = h / devices
            let kv = max(try row.integer("n_kv_head") / devices, 1) * d
            let inner = try row.integer("n_expanded_embd") / devices
            let work: [(String, Operator.Role, Sample.Work)] = [
                ("attn_pre_proj", .qkv, .product(rows: m, columns: q + 2 * kv, depth: h)),
                ("attn_post_proj", .attentionOutput, .product(rows: m, columns: h, depth: q)),
                ("mlp_up_proj", .gateUp, .product(rows: m, columns: 2 * inner, depth: h)),
                ("mlp_down_proj", .down, .product(rows: m, columns: h, depth: inner)),
                ("emb", .embedding, .pass(values: m * h, width: h, moved: 2)),
                ("input_layernorm", .norm, .pass(values: m * h, width: h, moved: 2)),
                ("post_attention_layernorm", .norm, .pass(values: m * h, width: h, moved: 2)),
                ("attn_rope", .rope, .pass(values: m * (q + kv), width: q + kv, moved: 2)),
                ("mlp_act", .swiglu, .pass(values: m * inner, width: inner, moved: 3)),
                ("add", .residual, .pass(values: m * h, width: h, moved: 2)),
            ]
            for (name, role, work) in work where table.has(median(name)) {
                let seconds = try row.number(median(name)) * 1e-3
                // The tool rounds to microseconds: less than one is no figure.
                guard seconds > 0 else { continue }
                samples.append(Sample(role: role, work: work, tokens: m, devices: devices, seconds: seconds))
            }
        }
        return samples
    }
}

/// A table of comma-separated values with a header.
private struct CSVTable {
    let path: String
    let columns: [String: Int]
    let rows: [Row]

    struct Row {
        let path: String
        let line: Int
        let columns: [String: Int]
        let cells: [Substring]

        func text(_ name: String) throws(ProfileError) -> String {
            guard let column = columns[name] else {
                throw ProfileError(path: path, line: 1, field: name, problem: "there is no such column")
            }
            guard column < cells.count else {
                throw ProfileError(path: path, line: line, field: name, problem: "the line ends before it")
            }
            return cells[column].trimmed
        }

        func number(_ name: String) throws(ProfileError) -> Double {
            let text = try text(name)
            guard let value = Double(text), value.isFinite, value >= 0 else {
                throw ProfileError(
                    path: path, line: line, field: name,
                    problem: "found `\(text.safeExcerpt)`, expected a number from 0")
            }
            return value
        }

        func integer(_ name: String) throws(ProfileError) -> Int {
            let text = try text(name)
            guard let value = Int(text), (1...1 << 40).contains(value) else {
                throw ProfileError(
                    path: path, line: line, field: name,
                    problem: "found `\(text.safeExcerpt)`, expected a whole number from 1")
            }
            return value
        }
    }

    init(contentsOf path: String) throws(ProfileError) {
        self.path = path
        let lines = try ProfileNode.text(of: path).split(
            omittingEmptySubsequences: false, whereSeparator: \.isNewline)
        let header = lines.first?.split(separator: ",", omittingEmptySubsequences: false).map(\.trimmed) ?? []
        guard header.count > 1 else {
            throw ProfileError(path: path, line: 1, problem: "expected a header of columns separated by commas")
        }
        let columns = Dictionary(header.enumerated().map { ($1, $0) }) { first, _ in first }
        self.columns = columns
        rows = lines.enumerated().dropFirst().compactMap { index, line in
            line.allSatisfy(\.isWhitespace)
                ? nil
                : Row(
                    path: path, line: index + 1, columns: columns,
                    cells: line.split(separator: ",", omittingEmptySubsequences: false))
        }
    }

    func has(_ column: String) -> Bool { columns[column] != nil }
}
