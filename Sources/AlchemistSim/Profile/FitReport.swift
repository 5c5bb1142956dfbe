internal import Results
public import Simulator

/// How far prices lie from timings: |price / time - 1|, by table, operator and size.
public struct FitReport: Sendable {
    public struct Line: Sendable {
        public let name: String
        public let count: Int
        public let median: Double
        public let p90: Double
        /// Median of price / time, less one.
        public let bias: Double
    }

    /// All operators of the table, then each by itself, then by tokens.
    public let lines: [Line]
    public let path: String

    public init(_ accelerator: Accelerator, _ timings: OperatorTimings) {
        path = timings.path
        let errors = timings.samples.map { (sample: $0, error: accelerator.seconds(of: $0) / $0.seconds - 1) }
        func line(_ name: String, _ isMeant: (OperatorTimings.Sample) -> Bool) -> Line? {
            let own = errors.filter { isMeant($0.sample) }.map(\.error)
            guard !own.isEmpty else { return nil }
            let sizes = own.map(abs).sorted()
            return Line(
                name: name, count: own.count, median: percentile(50, ofSorted: sizes),
                p90: percentile(90, ofSorted: sizes), bias: percentile(50, ofSorted: own.sorted()))
        }
        func isProduct(_ sample: OperatorTimings.Sample) -> Bool {
            if case .product = sample.work { true } else { false }
        }
        func isCollective(_ sample: OperatorTimings.Sample) -> Bool {
            if case .allReduce = sample.work { true } else { false }
        }
        let sizes = [(1, 16), (17, 128), (129, 512), (513, 2048), (2049, 1 << 20)]
        lines =
            ([line("all", { _ in true }), line("products", isProduct)]
            + Operator.Role.allCases.map { role in line(role.rawValue) { !isCollective($0) && $0.role == role } }
            + sizes.map { first, last in
                line("products of \(first) to \(last) tokens") { isProduct($0) && (first...last).contains($0.tokens) }
            }
            + [2, 4, 8].map { devices in
                line("all_reduce over \(devices)") { isCollective($0) && $0.devices == devices }
            }).compactMap(\.self)
    }

    /// The table in Markdown.
    public var markdown: String {
        "| \(path) | timings | median error | P90 error | bias |\n|---|---|---|---|---|\n"
            + lines.map { line in
                "| \(line.name) | \(line.count) | \(Self.percent(line.median)) | \(Self.percent(line.p90)) | "
                    + "\(Self.percent(line.bias)) |\n"
            }.joined()
    }

    private static func percent(_ value: Double) -> String { (100 * value).formatted(decimals: 1) + " %" }
}
