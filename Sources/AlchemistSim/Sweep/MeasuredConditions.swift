internal import Engine
public import Results

/// What measured points must have been run under to count. Their times depend on it, though their scenario does not say it.
///
/// What is nil is not known here, as the processor is not to whoever submits to a cluster: then the points that are there
/// must agree, and those that differ from most of them do not count.
public struct MeasuredConditions: Sendable, Equatable {
    /// Threads of points whose scenario leaves them open.
    public var threads: Int?
    /// Whether points may run side by side on the same processors.
    public var isSharing: Bool?
    /// The processor's name, family and model.
    public var processor: String?

    public init(threads: Int? = nil, isSharing: Bool? = nil, processor: String? = nil) {
        self.threads = threads
        self.isSharing = isSharing
        self.processor = processor
    }

    /// Those of points that this process would run.
    ///
    /// - Parameter threads: nil for all processors.
    public static func here(threads: Int?, isSharing: Bool) -> MeasuredConditions {
        .init(
            threads: threads ?? ThreadPool.processorCount, isSharing: isSharing, processor: Machine.processorModel)
    }

    /// Why a record does not count, `was 2 threads, is 8`; nil if it does.
    public func difference(from record: PointRecord, of point: SweepPoint) -> String? {
        guard let asked = point.measuredThreads else { return nil }
        guard let measured = record.measured else { return "the record does not say with how many threads, and where" }
        var parts: [String] = []
        // Threads that the scenario states are in the point's id.
        if asked == 0, let threads, measured.threads != threads {
            parts.append("was \(Self.words(measured.threads)), is \(threads)")
        }
        if let isSharing, measured.isSharing != isSharing {
            parts.append("was \(Self.words(measured.isSharing)), is \(Self.words(isSharing))")
        }
        if let processor, measured.processor != processor {
            parts.append("was on \(measured.processor), is on \(processor)")
        }
        return parts.isEmpty ? nil : parts.joined(separator: "; ")
    }

    /// What is not known, as most of the points have it.
    func completed(by found: [(point: SweepPoint, record: PointRecord)]) -> MeasuredConditions {
        let measured = found.compactMap { found in
            found.point.measuredThreads.flatMap { asked in found.record.measured.map { (asked, $0) } }
        }
        var whole = self
        if threads == nil { whole.threads = Self.most(measured.filter { $0.0 == 0 }.map(\.1.threads)) }
        if isSharing == nil { whole.isSharing = Self.most(measured.map { $0.1.isSharing ? 1 : 0 }).map { $0 == 1 } }
        if processor == nil { whole.processor = Self.most(measured.map(\.1.processor)) }
        return whole
    }

    /// The most frequent value; of several the first in order.
    private static func most<Value: Hashable & Comparable>(_ values: [Value]) -> Value? {
        var counts: [Value: Int] = [:]
        for value in values { counts[value, default: 0] += 1 }
        return counts.min { ($1.value, $0.key) < ($0.value, $1.key) }?.key
    }

    private static func words(_ threads: Int) -> String { threads == 1 ? "1 thread" : "\(threads) threads" }

    private static func words(_ isSharing: Bool) -> String {
        isSharing ? "beside other points" : "alone on the machine"
    }
}
