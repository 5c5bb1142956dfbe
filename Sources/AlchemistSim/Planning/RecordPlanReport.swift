internal import Foundation
internal import Results
public import Simulator

/// Save plans side by side, the best one last.
public struct RecordPlanReport: Sendable {
    /// One plan, or none.
    public struct Row: Sendable {
        public var name: String
        /// Per layer; empty where nothing is recorded.
        public var layers: [SavePlan]
        /// Of one recorded token.
        public var bytesPerToken: Double
        /// Share of requests that can be recorded.
        public var coverage: Double
        public var recomputeSeconds: Double
        public var stallSeconds: Double
        /// Of a step whose samples are all recorded.
        public var stepSeconds: Double
        /// Of a step on average.
        public var expectedSeconds: Double
        /// Against recording nothing.
        public var speedUp: Double
    }

    public let rows: [Row]
    /// Plans that no other beats in both bytes and time, in ascending order of bytes.
    public let efficient: [Row]
    /// Whether the planned one is known to be the best.
    public let isExact: Bool
    public let workload: PlannedWorkload
    public let recordMemory: Bytes
    let model: String
    let backend: String
    let linkBandwidth: Double

    /// The one that trains fastest; absent where recording nothing does.
    public var best: Row? { rows.last }
    /// Whether it is faster to record than not to.
    public var pays: Bool { (best?.speedUp ?? 0) > 1 }

    init(
        _ planner: SavePlanner, _ workload: PlannedWorkload, recordMemory: Bytes, scenario: Scenario,
        arm: ArmConfiguration, samples: Int
    ) {
        let recomputed = planner.recomputed.seconds
        let tokens = Double(workload.recordedTokens * samples)
        func row(_ name: String, _ plan: SavePlanner.Plan) -> Row {
            Row(
                name: name, layers: plan.layers, bytesPerToken: Double(plan.outcome.bytes.count) / tokens,
                coverage: plan.coverage, recomputeSeconds: plan.outcome.recompute.seconds,
                stallSeconds: plan.outcome.stall.seconds, stepSeconds: plan.outcome.duration.seconds,
                expectedSeconds: plan.expectedSeconds, speedUp: recomputed / plan.expectedSeconds)
        }
        var rows = [
            Row(
                name: "none", layers: [], bytesPerToken: 0, coverage: 0, recomputeSeconds: 0, stallSeconds: 0,
                stepSeconds: recomputed, expectedSeconds: recomputed, speedUp: 1)
        ]
        for plan in SavePlan.allCases { if let fixed = planner.fixed(plan) { rows.append(row(plan.rawValue, fixed)) } }
        let search = planner.search()
        if let best = search.best { rows.append(row("planned", best)) }
        self.rows = rows
        isExact = search.isExact
        efficient = search.efficient.map { row($0.layers.runs, $0) }
        self.workload = workload
        self.recordMemory = recordMemory
        model = scenario.model
        backend = scenario.backend
        linkBandwidth = arm.device.linkBandwidth
    }

    /// The table, and the setting that takes the planned one.
    public func table(showsAll: Bool) -> String {
        var text =
            "\(model) on \(backend): samples of \(workload.answersText)\(workload.tokens) tokens, "
            + "\(workload.recordedTokens) of them recorded; "
            + "\((workload.heldTokens).formatted(decimals: 0)) recorded tokens held at a time in \(recordMemory)"
        if let rate = workload.recordedTokensPerSecond {
            text += ", \(rate.formatted(decimals: 0)) made per second"
        }
        text += "\n\n" + Self.text(of: rows)
        if showsAll { text += "\nPlans that no other beats in both bytes and time:\n\n" + Self.text(of: efficient) }
        guard let best else { return text }
        text += "\nplanned: \(best.layers.runs)\n"
        if !isExact { text += "Not all choices were followed up: another plan may be slightly better.\n" }
        text +=
            pays
            ? "--set recording.plan=\(LayerPlans(layers: best.layers.shortest).text)\n"
            : "Recording does not pay here: recomputing is as fast.\n"
        return text
    }

    private static func text(of rows: [Row]) -> String {
        let header = [
            "plan", "KiB/token", "recorded", "recompute ms", "stall ms", "step ms", "expected ms", "speed-up",
        ]
        let cells = rows.map { row in
            [
                row.name, (row.bytesPerToken / 1024).formatted(decimals: 1), row.coverage.formatted(decimals: 3),
                (row.recomputeSeconds * 1e3).formatted(decimals: 3), (row.stallSeconds * 1e3).formatted(decimals: 3),
                (row.stepSeconds * 1e3).formatted(decimals: 3), (row.expectedSeconds * 1e3).formatted(decimals: 3),
                row.speedUp.formatted(decimals: 3),
            ]
        }
        return TextTable.text(of: [header] + cells)
    }

    /// One JSON object with names in snake case.
    public func json(showsAll: Bool) throws -> String {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let body = Body(
            model: model, backend: backend, tokens: workload.tokens, recordedTokens: workload.recordedTokens,
            heldTokens: workload.heldTokens, recordedTokensPerSecond: workload.recordedTokensPerSecond,
            recordMemoryBytes: recordMemory.count, linkBytesPerSecond: linkBandwidth, pays: pays, isExact: isExact,
            plans: rows.map(Body.Row.init), efficient: showsAll ? efficient.map(Body.Row.init) : nil)
        return String(decoding: try encoder.encode(body), as: UTF8.self) + "\n"
    }

    private struct Body: Encodable {
        struct Row: Encodable {
            let name: String
            let layers: [String]
            let bytesPerToken, recordedShare, recomputeSeconds, stallSeconds, stepSeconds, expectedSeconds: Double
            let speedUp: Double

            init(_ row: RecordPlanReport.Row) {
                name = row.name
                layers = row.layers.map(\.rawValue)
                bytesPerToken = row.bytesPerToken
                recordedShare = row.coverage
                recomputeSeconds = row.recomputeSeconds
                stallSeconds = row.stallSeconds
                stepSeconds = row.stepSeconds
                expectedSeconds = row.expectedSeconds
                speedUp = row.speedUp
            }
        }

        let model, backend: String
        let tokens, recordedTokens: Int
        let heldTokens: Double
        let recordedTokensPerSecond: Double?
        let recordMemoryBytes: Int
        let linkBytesPerSecond: Double
        let pays, isExact: Bool
        let plans: [Row]
        let efficient: [Row]?
    }
}

extension [SavePlan] {
    /// As `12 full, 4 boundary`, from the first layer on.
    var runs: String {
        var runs: [(plan: SavePlan, count: Int)] = []
        for plan in self {
            if let last = runs.indices.last, runs[last].plan == plan {
                runs[last].count += 1
            } else {
                runs.append((plan, 1))
            }
        }
        return runs.map { "\($0.count) \($0.plan.rawValue)" }.joined(separator: ", ")
    }

    /// One where all are the same.
    var shortest: [SavePlan] { Set(self).count == 1 ? Array(prefix(1)) : self }
}

extension PlannedWorkload {
    /// What stands before the tokens of one answer where there are several.
    fileprivate var answersText: String {
        switch objective {
        case .sft: ""
        case .dpo: "pairs of answers with their prompt, each "
        case .group: "\(answers) answers with their prompt, each "
        }
    }
}
