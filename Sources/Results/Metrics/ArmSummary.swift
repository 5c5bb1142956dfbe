public import Simulator

/// The figures of one arm of one repeat: a pure function of its log and the trace.
public struct ArmSummary: Sendable {
    public var status: ArmLog.Status
    public var serving: ServingSummary
    /// `nil` for an arm that made no training step.
    public var training: TrainingSummary?
    /// Peaks only: the series stay in the log.
    public var memory: MemoryPeaks
    public var bytesToHost = Bytes.zero
    public var bytesToDevice = Bytes.zero
    public var recording: RecordingTotals
    /// Seconds of virtual time to the end of the last quantum.
    public var wallSeconds: Double

    /// - Parameter window: the requests that figures of serving are drawn from.
    public init(_ log: ArmLog, trace: Trace, devices: Int = 1, window: MetricsWindow = .whole) {
        status = log.status
        serving = ServingSummary(log, trace: trace, window: window)
        training = TrainingSummary(log, devices: devices)
        memory = MemoryPeaks(log.memory)
        recording = log.recording
        bytesToHost = log.transfers.sums.directions[TransferDirection.toHost.rawValue].bytes
        bytesToDevice = log.transfers.sums.directions[TransferDirection.toDevice.rawValue].bytes
        wallSeconds = log.end.seconds
    }
}

/// The highest levels of memory, each at its own moment.
public struct MemoryPeaks: Sendable, Equatable {
    public var device: Bytes
    public var host: Bytes
    /// Zero where the trainer has no device of its own.
    public var trainerDevice: Bytes
    /// Joint peak of the owners that count as training memory, over both devices.
    public var training: Bytes
    /// In the order of `MemoryOwner.allCases`.
    public var deviceByOwner: [Bytes]
    public var hostByOwner: [Bytes]
    public var trainerDeviceByOwner: [Bytes]

    public init(_ memory: MemoryRecord) {
        device = memory.device.peak
        host = memory.host.peak
        trainerDevice = memory.trainerDevice.peak
        training = memory.trainingPeak
        deviceByOwner = memory.device.peakByOwner
        hostByOwner = memory.host.peakByOwner
        trainerDeviceByOwner = memory.trainerDevice.peakByOwner
    }

    public func peak(on tier: MemoryTier) -> Bytes {
        switch tier {
        case .device: device
        case .host: host
        case .trainerDevice: trainerDevice
        }
    }

    public func peak(of owner: MemoryOwner, on tier: MemoryTier) -> Bytes {
        switch tier {
        case .device: deviceByOwner[owner.rawValue]
        case .host: hostByOwner[owner.rawValue]
        case .trainerDevice: trainerDeviceByOwner[owner.rawValue]
        }
    }
}
