/// What a sweep keeps of a point beside its results file: where it stands in the grid, what made it, and its figures.
/// A merge reads these and no results files.
///
/// A record is a text file of lines with fields between tabs, in the order of the properties below; it appears under its
/// name when it is whole, and after the results file that it names.
public struct PointRecord: Sendable, Equatable {
    /// The program that ran the point.
    public struct Program: Sendable, Equatable {
        /// SHA-256 of the executable.
        public var sha256: String
        /// Version and commit, for people.
        public var name: String

        public init(sha256: String, name: String) {
            self.sha256 = sha256
            self.name = name
        }
    }

    /// What figures are of.
    public enum Subject: Hashable, Sendable {
        case arm(String)
        /// A comparison over what was run.
        case comparison(baseline: String, candidate: String)
        /// The same over one common table of costs.
        case paired(baseline: String, candidate: String)
    }

    /// A figure over the repeats of a run.
    public struct Figure: Sendable, Equatable {
        public var name: String
        public var spread: Spread

        public init(name: String, spread: Spread) {
            self.name = name
            self.spread = spread
        }
    }

    public struct Figures: Sendable, Equatable {
        public var subject: Subject
        /// Those that apply, in the order of the table of metrics.
        public var figures: [Figure]

        public init(subject: Subject, figures: [Figure]) {
            self.subject = subject
            self.figures = figures
        }
    }

    public var id: String
    public var program: Program
    /// Names and values of the axes.
    public var coordinates: [Coordinate]
    /// Seconds that the point took.
    public var seconds: Double
    /// SHA-256 of the trace's bytes.
    public var trace: String
    /// Under which conditions it was measured; nil if its times come from a model.
    public var measured: Measured?
    /// The results file's name in the same folder; nil if only this record was kept.
    public var file: String?
    /// Bytes of that file: one that was cut off is none any more.
    public var fileBytes: Int?
    /// The digest of all that the run found.
    public var digest: String?
    public var figures: [Figures]
    /// What the id is the hash of.
    public var identity: String

    public struct Coordinate: Sendable, Equatable {
        public var name: String
        public var value: String

        public init(name: String, value: String) {
            self.name = name
            self.value = value
        }
    }

    public init(
        id: String, program: Program, coordinates: [Coordinate], seconds: Double, trace: String, file: String?,
        digest: String?, figures: [Figures], identity: String
    ) {
        self.id = id
        self.program = program
        self.coordinates = coordinates
        self.seconds = seconds
        self.trace = trace
        self.file = file
        self.digest = digest
        self.figures = figures
        self.identity = identity
    }
}

extension PointRecord.Figures {
    /// The figures of a run's report: arms, comparisons, paired comparisons.
    public static func all(of report: RunReport) -> [PointRecord.Figures] {
        report.arms.map { arm in
            PointRecord.Figures(
                subject: .arm(arm.name),
                figures: ArmSummary.metrics.compactMap { metric in
                    arm.spread(of: metric).map { PointRecord.Figure(name: metric.name, spread: $0) }
                })
        }
            + report.comparisons.map { comparison in
                of(comparison, .comparison(baseline: comparison.baseline, candidate: comparison.candidate))
            }
            + report.paired.map { comparison in
                of(comparison, .paired(baseline: comparison.baseline, candidate: comparison.candidate))
            }
    }

    private static func of(_ comparison: Comparison, _ subject: PointRecord.Subject) -> PointRecord.Figures {
        PointRecord.Figures(
            subject: subject,
            figures: Comparison.metrics.compactMap { metric in
                comparison.spread(of: metric).map { PointRecord.Figure(name: metric.name, spread: $0) }
            })
    }

    /// The median of a figure; nil if it does not apply.
    public func value(of name: String) -> Double? { figures.first { $0.name == name }?.spread.median }
}

extension Spread {
    init(median: Double, minimum: Double, maximum: Double) {
        self.median = median
        self.minimum = minimum
        self.maximum = maximum
    }
}
