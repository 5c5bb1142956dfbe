public import Results
public import Simulator

/// A whole experiment's settings: model, what all arms share, and the arms.
public struct Scenario: Sendable {
    /// Model of the registry, a file that describes one, or a folder with a checkpoint.
    public var model = "mini"
    /// What executes plans: `measured`, hardware of the registry, or the path of a profile of hardware.
    public var backend = Scenario.measuredBackend
    /// How an accelerator is used.
    public var hardware = AcceleratorSetting()
    /// Folder with the adapters that LoRA starts from; nil draws them.
    public var adapter: String?
    /// Threads of the measured backend; 0 takes every processor.
    public var threads = 0
    /// Runs of every arm, interleaved.
    public var repeats = 1
    /// The requests that figures of serving are drawn from.
    public var window = MetricsWindow.whole
    /// The share of contexts in which made-up and shifted text differs from what base models are taught.
    public var contentShift = 0.0
    /// What the arms start from.
    public var base = ArmConfiguration()
    /// The arms, in the order in which they run.
    public var arms: [ArmSpecification] = ArmSpecification.standard

    /// Where fields were set; of those that were left to their defaults, or to what the hardware says, nothing.
    var origins: [String: ScenarioError.Origin] = [:]

    public init() {}

    /// The backend that does the work on this machine.
    public static let measuredBackend = "measured"

    /// The scenario with an arm's own settings in place.
    ///
    /// - Throws: `ScenarioError` when one of them is not valid.
    public func configuration(of arm: ArmSpecification) throws(ScenarioError) -> ArmConfiguration {
        var scenario = self
        for setting in arm.settings { try scenario.setField(setting.path, to: setting.value, at: .arm(arm.name)) }
        try Self.check(scenario.base, at: .arm(arm.name))
        return scenario.base
    }
}

extension Scenario: Equatable {
    /// Whether two scenarios mean the same, wherever that was said.
    public static func == (a: Scenario, b: Scenario) -> Bool {
        a.model == b.model && a.backend == b.backend && a.hardware == b.hardware && a.adapter == b.adapter
            && a.threads == b.threads && a.repeats == b.repeats && a.window == b.window
            && a.contentShift == b.contentShift && a.base == b.base
            && a.arms == b.arms
    }
}

/// An arm: a name, and what it changes.
public struct ArmSpecification: Sendable, Equatable {
    public struct Setting: Sendable, Equatable {
        public var path: String
        public var value: String
        /// Where it was set; nil of what a standard arm is.
        var origin: ScenarioError.Origin?

        public static func == (a: Setting, b: Setting) -> Bool { a.path == b.path && a.value == b.value }
    }

    public var name: String
    public var settings: [Setting]

    public init(name: String, settings: [(String, String)]) {
        self.name = name
        self.settings = settings.map { Setting(path: $0.0, value: $0.1) }
    }

    /// The latency reference: nothing is recorded and nothing trained.
    public static let serveOnly = ArmSpecification(
        name: "serve-only", settings: [("training.enabled", "false"), ("recording.record", "none")])
    /// The baseline: training beside serving, every sample's forward pass computed again.
    public static let recompute = ArmSpecification(
        name: "recompute",
        settings: [("training.enabled", "true"), ("training.reuse", "false"), ("recording.record", "none")])
    /// Training on what serving recorded.
    public static let reuse = ArmSpecification(
        name: "reuse",
        settings: [("training.enabled", "true"), ("training.reuse", "true"), ("recording.record", "prefill")])

    /// The paper's baseline: a trainer with a device of its own, which computes everything again.
    public static let separate = ArmSpecification(
        name: "separate",
        settings: [
            ("training.enabled", "true"), ("training.reuse", "false"), ("training.placement", "separate"),
            ("recording.record", "none"),
        ])

    /// A baseline that takes a part of what reuse brings without serving's help: the answers of a pair or a group share
    /// their prompt's passes.
    public static let sharedPrompt = ArmSpecification(
        name: "shared-prompt",
        settings: [
            ("training.enabled", "true"), ("training.reuse", "false"), ("training.shared_prompts", "true"),
            ("recording.record", "none"),
        ])

    public static let standard = [serveOnly, recompute, reuse]

    /// Every arm that a name stands for without being spelled out.
    public static let known = standard + [separate, sharedPrompt]

    public static func standard(named name: String) -> ArmSpecification? { known.first { $0.name == name } }
}
