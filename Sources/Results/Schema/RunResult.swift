public import Simulator

/// Everything one run leaves behind, ready to be written.
public struct RunResult: Sendable {
    public var provenance: Provenance
    /// The resolved scenario, as YAML.
    public var scenario: String
    public var trace: Trace
    public var arms: [ArmResult]
    /// What to compare; the first is the run's own comparison.
    public var comparisons: [ComparedArms]
    /// Profiles of hardware that estimates were made from, as YAML; arms point here.
    public var profiles: [String]
    /// Every arm once more, over one common table of costs; empty where there is nothing to compare.
    public var paired: [ArmResult]
    /// The requests that figures of serving are drawn from.
    public var window = MetricsWindow.whole
    /// Interrupted if the run was cut short, whether within an arm or between two.
    public var status: ArmLog.Status

    /// `status` is that of the logs unless the caller knows better.
    public init(
        provenance: Provenance, scenario: String, trace: Trace, arms: [ArmResult], comparisons: [ComparedArms] = [],
        profiles: [String] = [], paired: [ArmResult] = [], status: ArmLog.Status? = nil
    ) {
        self.provenance = provenance
        self.scenario = scenario
        self.trace = trace
        self.arms = arms
        self.comparisons = comparisons
        self.profiles = profiles
        self.paired = paired
        let interrupted = arms.contains { $0.repeats.contains { $0.status == .interrupted } }
        self.status = status ?? (interrupted ? .interrupted : .complete)
    }

    /// Arms' names become groups of the file, so they must be distinct and fit for one.
    func validate() throws(ResultsError) {
        var seen: Set<String> = []
        for arm in arms {
            let unfit =
                ["", ".", ".."].contains(arm.name) || arm.name.utf8.contains { [0, UInt8(ascii: "/")].contains($0) }
            guard !unfit else { throw .unusableArmName(arm.name) }
            guard seen.insert(arm.name).inserted else { throw .duplicateArm(arm.name) }
        }
    }
}

/// One arm of a run with the log of each repeat.
public struct ArmResult: Sendable {
    public var name: String
    /// In the order of the repeats; the n-th repeats of all arms ran side by side.
    public var repeats: [ArmLog]
    /// Devices that the arm holds throughout: 2 if server and trainer have one each.
    public var devices: Int
    /// The profile that the arm's estimates were made from, as its place in `RunResult.profiles`.
    public var profile: Int?

    public init(name: String, repeats: [ArmLog], devices: Int = 1, profile: Int? = nil) {
        self.name = name
        self.repeats = repeats
        self.devices = devices
        self.profile = profile
    }
}

/// The names of arms to compare.
public struct ComparedArms: Sendable, Equatable {
    public var baseline: String
    public var candidate: String
    /// The arm that only serves, whose latencies the candidate's are held against.
    public var reference: String?

    public init(baseline: String, candidate: String, reference: String?) {
        self.baseline = baseline
        self.candidate = candidate
        self.reference = reference
    }
}

/// A folder that parameters were read from.
public struct CheckpointOrigin: Sendable, Equatable {
    public var path: String
    /// Hash of the bytes of its safetensors files, one after the other in order of name, in hexadecimal.
    public var sha256: String

    public init(path: String, sha256: String) {
        self.path = path
        self.sha256 = sha256
    }
}

/// Where a run comes from: what it takes to run it again, and to doubt it.
public struct Provenance: Sendable, Equatable {
    public var toolVersion: String
    public var gitCommit: String
    public var commandLine: String
    public var seed: UInt64
    /// The CPU that the binary was compiled for, and the one that it ran on.
    public var buildCPU: String
    public var runCPU: String
    /// The BLAS kernels in use, or those that modelled and replayed durations stand for.
    public var blasKernel: String
    /// Who chose them: the library, the program or the environment; empty where a profile of hardware does not tell.
    public var blasKernelChoice: String
    public var threads: Int
    /// When the run began, in ISO 8601.
    public var created: String
    /// Where the model's weights, and the adapters that training started from, were read; nil if they were drawn, or if
    /// no work was done and they were not needed.
    public var checkpoint: CheckpointOrigin?
    public var adapter: CheckpointOrigin?

    public init(
        toolVersion: String, gitCommit: String, commandLine: String, seed: UInt64, buildCPU: String, runCPU: String,
        blasKernel: String, blasKernelChoice: String, threads: Int, created: String
    ) {
        self.toolVersion = toolVersion
        self.gitCommit = gitCommit
        self.commandLine = commandLine
        self.seed = seed
        self.buildCPU = buildCPU
        self.runCPU = runCPU
        self.blasKernel = blasKernel
        self.blasKernelChoice = blasKernelChoice
        self.threads = threads
        self.created = created
    }
}
