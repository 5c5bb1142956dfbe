internal import Simulator

/// The trace of a sweep's points: a file, or what `trace generate` makes of settings.
enum SweepTrace: Sendable, Equatable {
    case file(String)
    case generated(TraceSettings)
}

/// Settings of a generated trace as texts, named as the options of `trace generate` with `_` for `-`.
struct TraceSettings: Sendable, Equatable {
    /// The prefix of axes over these settings.
    static let prefix = "trace."

    /// A setting, and how its text is read.
    private struct Field: Sendable {
        let name: String
        let read: @Sendable (inout TraceRecipe, String) throws(ValueProblem) -> Void
    }

    private var values: [String: String] = [:]
    /// Where they were set.
    private var origins: [String: ScenarioError.Origin] = [:]
    private(set) var recipe = TraceRecipe()

    init() {}

    static func == (a: TraceSettings, b: TraceSettings) -> Bool { a.values == b.values && a.recipe == b.recipe }

    /// Where a setting was made; nil of what is left to its default.
    func origin(of name: String) -> ScenarioError.Origin? { origins[name] }

    /// A mistake in a setting, with the place where it was made, or else the experiment of that path.
    func mistake(_ name: String, _ problem: String, in path: String) -> ScenarioError {
        ScenarioError(origin: origins[name] ?? .file(path, line: nil), field: Self.prefix + name, problem: problem)
    }

    /// Sets one of them.
    mutating func set(_ name: String, to value: String, at origin: ScenarioError.Origin) throws(ScenarioError) {
        guard let field = Self.fields.first(where: { $0.name == name }) else {
            let hint =
                nearest(to: name, among: Self.fields.map(\.name)).map { "; did you mean `\(Self.prefix)\($0)`?" } ?? ""
            throw ScenarioError(
                origin: origin, field: Self.prefix + name.safeExcerpt, problem: "there is no such setting" + hint)
        }
        do throws(ValueProblem) {
            try field.read(&recipe, value)
        } catch {
            throw ScenarioError(
                origin: origin, field: Self.prefix + name,
                problem: "found `\(value.safeExcerpt)`, expected \(error.expected)")
        }
        values[name] = value
        origins[name] = origin
    }

    /// What tells one trace from another: the settings, and the contents of files among them.
    ///
    /// - Parameter path: the experiment's, for messages.
    func identity(_ hashes: FileHashes, in path: String) throws(ScenarioError) -> String {
        var lines = values.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        for (name, file) in [("lengths", recipe.lengths), ("replay", recipe.replay)] {
            guard let file, recipe.paths.contains(file) else { continue }
            do throws(ScenarioError) {
                lines.append("\(name)_sha256=\(try hashes.sha256(of: file))")
            } catch {
                throw mistake(ofFile: name, file, error, in: path)
            }
        }
        return lines.joined(separator: "\n")
    }

    /// A file that can not be read: its name may have been meant for one that is known.
    private func mistake(
        ofFile name: String, _ file: String, _ error: ScenarioError, in path: String
    ) -> ScenarioError {
        if name == "lengths", !file.contains("/"), !file.contains(".") {
            let hint = nearest(to: file, among: TraceRecipe.knownLengths).map { "; did you mean `\($0)`?" } ?? ""
            return mistake(
                name,
                "found `\(file.safeExcerpt)`, expected one of \(TraceRecipe.knownLengths.joined(separator: ", ")), or the "
                    + "path of a trace whose lengths are drawn" + hint, in: path)
        }
        var located = mistake(name, "found `\(file.safeExcerpt)`, which \(error.problem)", in: path)
        located.isInputOutput = error.isInputOutput
        return located
    }

    /// - Throws: a `ScenarioError` that names a setting without effect, in the experiment of that path.
    func requireEffect(in path: String) throws(ScenarioError) {
        guard let mistake = recipe.mistake else { return }
        let (setting, values) = (mistake.condition.setting, mistake.condition.values)
        let separator = values.isEmpty ? "" : values.hasPrefix("above") ? " " : ": "
        throw self.mistake(
            mistake.setting, "found without effect, expected only with \(setting)\(separator)\(values)", in: path)
    }

    private typealias Path<Value> = WritableKeyPath<TraceRecipe, Value?> & Sendable

    private static func number(_ name: String, _ key: any Path<Double>) -> Field {
        Field(name: name) { recipe, text throws(ValueProblem) in
            recipe[keyPath: key] = try Quantity.number(text, in: -1e15...1e15)
        }
    }

    private static func whole(_ name: String, _ key: any Path<Int>) -> Field {
        Field(name: name) { recipe, text throws(ValueProblem) in
            recipe[keyPath: key] = try Quantity.integer(text, in: 0...Int.max)
        }
    }

    private static func choice<Choice: RawRepresentable & CaseIterable & Sendable>(
        _ name: String, _ key: any Path<Choice>
    ) -> Field where Choice.RawValue == String {
        Field(name: name) { recipe, text throws(ValueProblem) in
            recipe[keyPath: key] = try Quantity.choice(text) as Choice
        }
    }

    private static func path(_ name: String, _ key: any Path<String>) -> Field {
        Field(name: name) { recipe, text throws(ValueProblem) in recipe[keyPath: key] = text }
    }

    private static let fields: [Field] = [
        whole("requests", \.requests), path("lengths", \.lengths), number("turns", \.turns),
        number("scale", \.scale), number("target_p", \.targetP), choice("arrivals", \.arrivals),
        number("rate", \.rate), number("cv", \.cv), number("burst_factor", \.burstFactor),
        number("calm_time", \.calmTime), number("burst_time", \.burstTime), number("amplitude", \.amplitude),
        number("period", \.period), path("replay", \.replay), number("think_time", \.thinkTime),
        number("feedback_rate", \.feedbackRate), number("feedback_delay", \.feedbackDelay),
        choice("feedback_kind", \.feedbackKind), number("feedback_edits", \.feedbackEdits),
        whole("group_size", \.groupSize), whole("prefix_tokens", \.prefixTokens),
        whole("prefix_groups", \.prefixGroups), whole("max_context", \.maxContext),
        whole("vocabulary", \.vocabulary), choice("content", \.content), number("shift", \.shift),
        number("shift_at", \.shiftAt),
        Field(name: "seed") { recipe, text throws(ValueProblem) in
            recipe.seed = UInt64(try Quantity.integer(text, in: 0...Int.max))
        },
    ]
}
