internal import Crypto
internal import Foundation
internal import Simulator

/// The trace of a sweep's points: a file, or what `trace generate` makes of settings.
enum SweepTrace: Sendable, Equatable {
    case file(String)
    case generated(TraceRecipe)
}

/// Settings of a generated trace, named as the options of `trace generate` with `_` for `-`.
struct TraceRecipe: Sendable, Equatable {
    /// The prefix of axes over these settings.
    static let prefix = "trace."

    private var values: [String: String] = [:]

    static let names = [
        "requests", "lengths", "turns", "scale", "target_p", "arrivals", "rate", "cv", "burst_factor", "calm_time",
        "burst_time", "amplitude", "period", "replay", "think_time", "feedback_rate", "feedback_delay", "feedback_kind",
        "feedback_edits", "group_size", "prefix_tokens", "prefix_groups", "max_context", "vocabulary", "content",
        "shift", "shift_at", "seed",
    ]

    init() {}

    /// Sets one of them; whether the value is right is known when the trace is made.
    mutating func set(_ name: String, to value: String, at origin: ScenarioError.Origin) throws(ScenarioError) {
        guard Self.names.contains(name) else {
            let hint = nearest(to: name, among: Self.names).map { "; did you mean `\(Self.prefix)\($0)`?" } ?? ""
            throw ScenarioError(
                origin: origin, field: Self.prefix + name.safeExcerpt, problem: "there is no such setting" + hint)
        }
        values[name] = value
        do throws(ValueProblem) {
            try check(name)
        } catch {
            throw ScenarioError(
                origin: origin, field: Self.prefix + name,
                problem: "found `\(value.safeExcerpt)`, expected \(error.expected)")
        }
    }

    private func check(_ name: String) throws(ValueProblem) {
        switch name {
        case "lengths", "replay": break
        case "arrivals": _ = try kind()
        case "feedback_kind": _ = try choice(name, .sft) as Feedback.Kind
        case "content": _ = try choice(name, .ids) as TraceContent
        case "requests", "group_size", "prefix_tokens", "prefix_groups", "max_context", "vocabulary", "seed":
            _ = try whole(name)
        default: _ = try number(name)
        }
    }

    /// What tells one trace from another: the settings, and the contents of files among them.
    func identity() throws(ScenarioError) -> String {
        var lines = values.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        for name in ["lengths", "replay"] {
            guard let path = values[name], NamedFit(rawValue: path) == nil, path != "lognormal" else { continue }
            lines.append("\(name)_sha256=\(try FileHash.sha256(of: path))")
        }
        return lines.joined(separator: "\n")
    }

    /// A setting that changes nothing beside the others, and what it takes to have an effect; nil if there is none.
    func withoutEffect() throws(ValueProblem) -> (name: String, condition: String)? {
        let kind = try kind()
        let hasFeedback = try number("feedback_rate") != 0
        let isGroup = try choice("feedback_kind", Feedback.Kind.sft) == .group
        let hasIDs = try choice("content", TraceGeneratorOptions.sample.content) == .ids
        let uses: [(name: String, isUsed: Bool, condition: String)] = [
            ("prefix_groups", values["prefix_tokens"] != nil, "prefix_tokens"),
            ("vocabulary", hasIDs, "content: ids"), ("shift_at", values["shift"] != nil, "shift"),
            ("rate", kind != .replay, "arrivals other than replay"), ("cv", kind == .gamma, "arrivals: gamma"),
            ("replay", kind == .replay, "arrivals: replay"), ("burst_factor", kind == .bursts, "arrivals: bursts"),
            ("calm_time", kind == .bursts, "arrivals: bursts"), ("burst_time", kind == .bursts, "arrivals: bursts"),
            ("amplitude", kind == .diurnal, "arrivals: diurnal"), ("period", kind == .diurnal, "arrivals: diurnal"),
            ("feedback_delay", hasFeedback, "feedback_rate above 0"),
            ("feedback_kind", hasFeedback, "feedback_rate above 0"),
            ("feedback_edits", hasFeedback, "feedback_rate above 0"),
            ("group_size", hasFeedback && isGroup, "feedback_kind: group"),
        ]
        return uses.first { values[$0.name] != nil && !$0.isUsed }.map { ($0.name, $0.condition) }
    }

    /// The trace's settings as the generator takes them.
    func options() throws -> TraceGeneratorOptions {
        let sample = TraceGeneratorOptions.sample
        var options = try base()
        options.requests = try whole("requests") ?? sample.requests
        options.meanTurns = try number("turns") ?? options.meanTurns
        options.scale = try number("scale") ?? options.scale
        options.maxContext = try whole("max_context") ?? options.maxContext
        options.targetPrefillShare = try number("target_p")
        options.arrivals = try arrivals()
        options.meanThinkTime = try number("think_time") ?? sample.meanThinkTime
        var feedback = TraceGeneratorOptions.FeedbackModel(
            rate: try number("feedback_rate") ?? 0.7, meanDelay: try number("feedback_delay") ?? 1.5)
        feedback.kind = try choice("feedback_kind", .sft)
        feedback.editedShare = try number("feedback_edits") ?? 0
        feedback.groupSize = try whole("group_size") ?? 4
        options.feedback = feedback
        let groups = try whole("prefix_groups") ?? 1
        options.sharedPrefix = try whole("prefix_tokens").map { .init(tokens: $0, groups: groups) }
        options.language.vocabulary = try whole("vocabulary") ?? sample.language.vocabulary
        options.content = try choice("content", sample.content)
        let start = try number("shift_at") ?? 0.5
        options.languageShift = try number("shift").map { .init(share: $0, start: start) }
        options.seed = try whole("seed").map(UInt64.init) ?? sample.seed
        return options
    }

    private func base() throws -> TraceGeneratorOptions {
        let lengths = values["lengths"] ?? "lognormal"
        if let fit = NamedFit(rawValue: lengths) { return TraceGeneratorOptions(fit) }
        var options = TraceGeneratorOptions()
        if lengths == "lognormal" {
            let sample = TraceGeneratorOptions.sample
            (options.meanTurns, options.scale, options.maxContext) = (sample.meanTurns, sample.scale, sample.maxContext)
            return options
        }
        // Turns that are put together get their history from each other: of each only its own text is drawn.
        let isText = (try number("turns") ?? 1) > 1
        var pairs: [LengthPair] = []
        var totals: [Int] = []
        try TraceReader.forEachRequest(path: lengths) {
            let history = isText ? $0.previousTurn.map { totals[$0] } ?? 0 : 0
            pairs.append(LengthPair(user: max(1, $0.promptTokens - history), answer: $0.outputTokens))
            totals.append($0.promptTokens + $0.outputTokens)
        }
        options.lengths = .empirical(pairs)
        options.meanTurns = 1
        options.maxContext = Int(Int32.max)
        return options
    }

    private enum ArrivalKind: String, CaseIterable { case poisson, gamma, bursts, diurnal, replay }

    private func kind() throws(ValueProblem) -> ArrivalKind { try choice("arrivals", .poisson) }

    private func arrivals() throws -> ArrivalModel {
        let kind = try kind()
        guard (values["replay"] != nil) == (kind == .replay) else {
            throw ValueProblem(expected: "replay with arrivals: replay, and only then")
        }
        let rate = try number("rate") ?? 3
        switch kind {
        case .poisson: return .poisson(rate: rate)
        case .gamma: return .gamma(rate: rate, variation: try number("cv") ?? 2)
        case .bursts:
            return .bursts(
                rate: rate, factor: try number("burst_factor") ?? 10, meanCalm: try number("calm_time") ?? 30,
                meanBurst: try number("burst_time") ?? 5)
        case .diurnal:
            return .diurnal(
                rate: rate, amplitude: try number("amplitude") ?? 0.8, period: try number("period") ?? 86400)
        case .replay:
            var times: [SimTime] = []
            try TraceReader.forEachRequest(path: values["replay"] ?? "") { times.append($0.arrival) }
            return .replay(times)
        }
    }

    private func number(_ name: String) throws(ValueProblem) -> Double? {
        guard let text = values[name] else { return nil }
        return try Quantity.number(text, in: -1e15...1e15)
    }

    private func whole(_ name: String) throws(ValueProblem) -> Int? {
        guard let text = values[name] else { return nil }
        return try Quantity.integer(text, in: 0...Int.max)
    }

    private func choice<Choice: RawRepresentable & CaseIterable>(
        _ name: String, _ standard: Choice
    ) throws(ValueProblem) -> Choice where Choice.RawValue == String {
        guard let text = values[name] else { return standard }
        return try Quantity.choice(text)
    }
}

/// Hashes of files that a point depends on.
enum FileHash {
    /// SHA-256 of a file's bytes, in hexadecimal.
    static func sha256(of path: String) throws(ScenarioError) -> String {
        do {
            let handle = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
            defer { try? handle.close() }
            var hash = SHA256()
            while let block = try handle.read(upToCount: 1 << 20), !block.isEmpty { hash.update(data: block) }
            return hash.finalize().hexadecimal
        } catch {
            throw ScenarioError(
                origin: .file(path, line: nil), problem: "can not be read: \(error.localizedDescription)",
                isInputOutput: true)
        }
    }

    static func sha256(ofText text: String) -> String { SHA256.hash(data: Data(text.utf8)).hexadecimal }

    /// What tells one file, or one folder with a checkpoint, from another: files up to 1 MiB by their content, larger ones
    /// by name and size. Nil if there is nothing under the path.
    static func fingerprint(of path: String) throws(ScenarioError) -> String? {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else { return nil }
        guard isFolder.boolValue else { return try sha256(of: path) }
        let names = ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
        var lines = ""
        for name in names where !name.hasPrefix(".") {
            let file = path + "/" + name
            let size = (try? FileManager.default.attributesOfItem(atPath: file)[.size] as? Int) ?? 0
            lines += "\(name) \(size) \(size <= 1 << 20 ? try sha256(of: file) : "")\n"
        }
        return sha256(ofText: lines)
    }
}
