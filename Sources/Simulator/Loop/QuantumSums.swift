/// What a summary needs of all quanta, and their course in equal windows of time.
public struct QuantumSums: RowSums {
    /// Seconds of serving iterations.
    public private(set) var servingSeconds = 0.0
    /// KV blocks held, summed over these seconds.
    public private(set) var blockSeconds = 0.0
    /// Most blocks that any of them held.
    public private(set) var mostBlocks = 0
    /// Time in which iterations were held back until records had made room.
    public private(set) var held = SimDuration.zero
    public private(set) var longestTraining: SimDuration?
    public private(set) var course = QuantumCourse()

    public init() {}

    public mutating func add(_ quantum: QuantumRecord) {
        held += quantum.held
        switch quantum.kind {
        case .serve:
            let seconds = quantum.duration.seconds
            servingSeconds += seconds
            blockSeconds += seconds * Double(quantum.kvBlocks)
            mostBlocks = max(mostBlocks, quantum.kvBlocks)
        case .train: longestTraining = max(longestTraining ?? .zero, quantum.duration)
        }
        course.add(quantum)
    }
}

/// The quanta of a run in equal windows of time, by their start. When the windows are used up, neighbours are merged and
/// the width doubles.
public struct QuantumCourse: Sendable {
    public struct Window: Sendable {
        public var iterations = 0
        public var trainerQuanta = 0
        public var serving = SimDuration.zero
        public var training = SimDuration.zero
        public var prefillTokens = 0
        public var decodeTokens = 0
        public var recordedTokens = 0
        public var held = SimDuration.zero
        /// The highest of the window.
        public var waiting = 0
        public var kvBlocks = 0
        public var cachedBlocks = 0
        public var version = 0

        fileprivate mutating func add(_ quantum: QuantumRecord) {
            switch quantum.kind {
            case .serve:
                iterations += 1
                serving += quantum.duration
            case .train:
                trainerQuanta += 1
                training += quantum.duration
            }
            prefillTokens += quantum.prefillTokens
            decodeTokens += quantum.decodeTokens
            recordedTokens += quantum.recordedTokens
            held += quantum.held
            waiting = max(waiting, quantum.waiting)
            kvBlocks = max(kvBlocks, quantum.kvBlocks)
            cachedBlocks = max(cachedBlocks, quantum.cachedBlocks)
            version = max(version, quantum.version)
        }

        fileprivate mutating func merge(_ other: Window) {
            iterations += other.iterations
            trainerQuanta += other.trainerQuanta
            serving += other.serving
            training += other.training
            prefillTokens += other.prefillTokens
            decodeTokens += other.decodeTokens
            recordedTokens += other.recordedTokens
            held += other.held
            waiting = max(waiting, other.waiting)
            kvBlocks = max(kvBlocks, other.kvBlocks)
            cachedBlocks = max(cachedBlocks, other.cachedBlocks)
            version = max(version, other.version)
        }
    }

    private static let capacity = 4096

    public private(set) var width = SimDuration.milliseconds(100)
    /// From time zero on.
    public private(set) var windows: [Window] = []
    // The window that quanta are added to: found without dividing as long as time stays in it.
    private var current = 0
    private var start = SimTime.zero
    private var end = SimTime.zero

    public init() {}

    mutating func add(_ quantum: QuantumRecord) {
        if quantum.start >= end || quantum.start < start { move(to: quantum.start) }
        windows[current].add(quantum)
    }

    private mutating func move(to time: SimTime) {
        while time.nanoseconds / width.nanoseconds >= Self.capacity { coarsen() }
        current = Int(time.nanoseconds / width.nanoseconds)
        start = SimTime(nanoseconds: Int64(current) * width.nanoseconds)
        end = start + width
        while windows.count <= current { windows.append(Window()) }
    }

    private mutating func coarsen() {
        windows = stride(from: 0, to: windows.count, by: 2).map { first in
            var window = windows[first]
            if first + 1 < windows.count { window.merge(windows[first + 1]) }
            return window
        }
        width = SimDuration(nanoseconds: width.nanoseconds * 2)
    }
}

/// Units of trainer quanta by phase, in the order of `TrainerPhase.allCases`.
public struct UnitSums: RowSums {
    public struct Sum: Sendable {
        public var count = 0
        public var total = SimDuration.zero
        public var longest = SimDuration.zero
    }

    public private(set) var phases = [Sum](repeating: Sum(), count: TrainerPhase.allCases.count)

    public init() {}

    public mutating func add(_ unit: UnitRecord) {
        let phase = unit.phase.index
        phases[phase].count += 1
        phases[phase].total += unit.duration
        phases[phase].longest = max(phases[phase].longest, unit.duration)
    }
}

/// Copies over the host link by direction, in the order of `TransferDirection.allCases`.
public struct TransferSums: RowSums {
    public struct Sum: Sendable {
        public var count = 0
        public var bytes = Bytes.zero
        public var pieces = 0
        /// Time that the copy engine was busy, and that copies waited for it.
        public var busy = SimDuration.zero
        public var waiting = SimDuration.zero
    }

    public private(set) var directions = [Sum](repeating: Sum(), count: TransferDirection.allCases.count)

    public init() {}

    public mutating func add(_ transfer: TransferRecord) {
        let direction = transfer.direction.rawValue
        directions[direction].count += 1
        directions[direction].bytes += transfer.bytes
        directions[direction].pieces += Int(transfer.pieces)
        directions[direction].busy += transfer.end - transfer.start
        directions[direction].waiting += transfer.start - transfer.queued
    }
}
