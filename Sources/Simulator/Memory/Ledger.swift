/// The books of memory: who holds how many bytes of which tier.
///
/// Every byte is reserved before the work that needs it, for one owner, and released once. A reservation that does
/// not fit changes nothing.
public struct Ledger: Sendable {
    private var levels: [[Int]]
    private var totals: [Int]
    private var training = 0
    /// Peaks and series so far.
    public private(set) var record = MemoryRecord()
    /// The time that changes are booked at; the loop moves it.
    public var now = SimTime.zero

    /// - Parameter trainerDevice: capacity of the trainer's own device; zero when it shares the server's.
    public init(device: Bytes, host: Bytes, trainerDevice: Bytes = .zero) {
        let tiers = MemoryTier.allCases.count
        levels = [[Int]](repeating: [Int](repeating: 0, count: MemoryOwner.allCases.count), count: tiers)
        totals = [Int](repeating: 0, count: tiers)
        record.device.capacity = device
        record.host.capacity = host
        record.trainerDevice.capacity = trainerDevice
    }

    public func capacity(of tier: MemoryTier) -> Bytes { record[tier].capacity }

    public func free(on tier: MemoryTier) -> Bytes { capacity(of: tier) - Bytes(totals[tier.rawValue]) }

    public func level(of owner: MemoryOwner, on tier: MemoryTier) -> Bytes {
        Bytes(levels[tier.rawValue][owner.rawValue])
    }

    /// Reserves `bytes`, or changes nothing and returns false when they do not fit.
    public mutating func reserve(_ bytes: Bytes, for owner: MemoryOwner, on tier: MemoryTier) -> Bool {
        Law.require(bytes >= .zero, "a reservation of \(bytes.count) bytes")
        guard bytes <= free(on: tier) else { return false }
        add(bytes.count, to: owner, on: tier)
        return true
    }

    public mutating func release(_ bytes: Bytes, of owner: MemoryOwner, on tier: MemoryTier) {
        Law.require(bytes >= .zero, "a release of \(bytes.count) bytes")
        Law.require(
            bytes.count <= levels[tier.rawValue][owner.rawValue],
            "\(owner.name) releases \(bytes.count) bytes on the \(tier.name) but holds \(level(of: owner, on: tier).count)"
        )
        add(-bytes.count, to: owner, on: tier)
    }

    /// Hands reserved bytes from one owner to another.
    public mutating func move(_ bytes: Bytes, from: MemoryOwner, to: MemoryOwner, on tier: MemoryTier) {
        release(bytes, of: from, on: tier)
        add(bytes.count, to: to, on: tier)
    }

    private mutating func add(_ bytes: Int, to owner: MemoryOwner, on tier: MemoryTier) {
        guard bytes != 0 else { return }
        levels[tier.rawValue][owner.rawValue] += bytes
        totals[tier.rawValue] += bytes
        let level = levels[tier.rawValue][owner.rawValue]
        let total = Bytes(totals[tier.rawValue])
        record[tier].peak = max(record[tier].peak, total)
        record[tier].peakByOwner[owner.rawValue] = max(record[tier].peakByOwner[owner.rawValue], Bytes(level))
        if owner.isKV {
            let blocks = MemoryOwner.allCases.reduce(0) { $0 + ($1.isKV ? levels[tier.rawValue][$1.rawValue] : 0) }
            record[tier].kvPeak = max(record[tier].kvPeak, Bytes(blocks))
        }
        record[tier].series.record(owner, bytes: level, at: now)
        let isTraining =
            switch tier {
            case .device: owner.isTraining
            case .host: false
            case .trainerDevice: true
            }
        guard isTraining else { return }
        training += bytes
        record.trainingPeak = max(record.trainingPeak, Bytes(training))
    }
}
