/// The names that the layout of a results file is made of. `docs/results.md` describes it.
package enum Schema {
    /// Raised when a reader of earlier files would misread a new one.
    package static let version = 1

    static let scenario = "/scenario"
    static let trace = "/trace"
    static let costs = "/costs"
    static let arms = "/arms"
    static let comparison = "/comparison"
    static let paired = "/paired"
    static let profiles = "/profiles"

    /// What the digest covers: everything but where the run comes from.
    static let digested = [trace, costs, arms, comparison, paired]

    static func arm(_ name: String) -> String { arms + "/" + name }
    static func summary(_ arm: String) -> String { Self.arm(arm) + "/summary" }

    /// `repeat_000`: wide enough that names sort as numbers do.
    static func run(_ index: Int, of arm: String) -> String { Self.arm(arm) + "/" + repeatPrefix + padded(index) }
    static func profile(_ index: Int) -> String { profiles + "/" + padded(index) }

    private static func padded(_ index: Int) -> String {
        let digits = String(index)
        return String(repeating: "0", count: max(0, 3 - digits.count)) + digits
    }
    static let repeatPrefix = "repeat_"

    /// What is kept of a log.
    enum Form: String {
        /// Every row.
        case raw
        case histogram
        /// Sums over equal windows of time.
        case windows
        case sums
    }

    /// Attributes of the root.
    enum Attribute {
        static let schemaVersion = "schema_version"
        static let toolVersion = "tool_version"
        static let gitCommit = "git_commit"
        static let commandLine = "command_line"
        static let seed = "seed"
        static let traceSource = "trace_source"
        static let traceSHA256 = "trace_sha256"
        static let buildCPU = "build_cpu"
        static let runCPU = "run_cpu"
        static let blasKernel = "blas_kernel"
        static let blasKernelChoice = "blas_kernel_choice"
        static let threads = "threads"
        static let created = "created"
        static let checkpoint = "checkpoint"
        static let checkpointSHA256 = "checkpoint_sha256"
        static let adapter = "adapter"
        static let adapterSHA256 = "adapter_sha256"
        static let digest = "digest"
        /// Of an arm.
        static let profile = "profile"
        /// Of a log that may be too long for its rows.
        static let form = "form"
        /// Also of every arm and every repeat.
        static let status = "status"
    }
}
