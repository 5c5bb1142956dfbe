import Simulator
import Testing

@Suite struct LedgerTests {
    /// Random reservations, releases and moves against sums that are kept the plain way.
    @Test(arguments: 0..<30) func agreesWithPlainSums(seed: Int) {
        var stream = RandomStream(seed: UInt64(seed), name: "ledger")
        let capacities: [MemoryTier: Int] = [.device: 1000, .host: 700, .trainerDevice: 500]
        var ledger = Ledger(device: Bytes(1000), host: Bytes(700), trainerDevice: Bytes(500))
        let owners = MemoryOwner.allCases
        let training: Set<MemoryOwner> = [
            .gradients, .optimizer, .adapters, .recorded, .recordedKV, .staged, .trainActivations,
            .trainWorkspace, .publishBuffer, .reference,
        ]
        var levels: [MemoryTier: [MemoryOwner: Int]] = [.device: [:], .host: [:], .trainerDevice: [:]]
        var peaks: [MemoryTier: [MemoryOwner: Int]] = [.device: [:], .host: [:], .trainerDevice: [:]]
        var totalPeaks: [MemoryTier: Int] = [:]
        var trainingPeak = 0
        var refused = 0
        for _ in 0..<600 {
            let tier = MemoryTier.allCases[stream.below(3)]
            let owner = owners[stream.below(owners.count)]
            let held = levels[tier]?[owner] ?? 0
            let total = levels[tier]?.values.reduce(0, +) ?? 0
            let capacity = capacities[tier] ?? 0
            switch stream.below(4) {
            case 0 where held > 0:
                let bytes = 1 + stream.below(held)
                ledger.release(Bytes(bytes), of: owner, on: tier)
                levels[tier]?[owner] = held - bytes
            case 1 where held > 0:
                let other = owners[stream.below(owners.count)]
                let bytes = 1 + stream.below(held)
                ledger.move(Bytes(bytes), from: owner, to: other, on: tier)
                levels[tier]?[owner] = held - bytes
                levels[tier]?[other, default: 0] += bytes
            default:
                let bytes = stream.below(200)
                let before = ledger.record
                let fits = total + bytes <= capacity
                #expect(ledger.reserve(Bytes(bytes), for: owner, on: tier) == fits)
                if fits {
                    levels[tier]?[owner, default: 0] += bytes
                } else {
                    refused += 1
                    #expect(ledger.record.device.peakByOwner == before.device.peakByOwner)
                    #expect(ledger.record.host.peakByOwner == before.host.peakByOwner)
                    #expect(ledger.record.trainerDevice.peakByOwner == before.trainerDevice.peakByOwner)
                    #expect(ledger.record.trainingPeak == before.trainingPeak)
                }
            }
            for tier in MemoryTier.allCases {
                let now = levels[tier] ?? [:]
                let sum = now.values.reduce(0, +)
                totalPeaks[tier] = max(totalPeaks[tier] ?? 0, sum)
                #expect(ledger.free(on: tier).count == (capacities[tier] ?? 0) - sum)
                let record = ledger.record[tier]
                #expect(record.peak.count == totalPeaks[tier])
                for owner in owners {
                    let level = now[owner] ?? 0
                    let peak = max(peaks[tier]?[owner] ?? 0, level)
                    peaks[tier]?[owner] = peak
                    #expect(ledger.level(of: owner, on: tier).count == level)
                    #expect(record.peakByOwner[owner.rawValue].count == peak)
                }
            }
            let joint =
                (levels[.device] ?? [:]).reduce(0) { $0 + (training.contains($1.key) ? $1.value : 0) }
                + (levels[.trainerDevice] ?? [:]).values.reduce(0, +)
            trainingPeak = max(trainingPeak, joint)
            #expect(ledger.record.trainingPeak.count == trainingPeak)
        }
        #expect(refused > 20, "nothing was ever refused: the test shows little")
    }

    /// The joint peak is the highest sum at one time and not the sum of peaks at different times.
    @Test func theTrainingPeakIsJoint() {
        var ledger = Ledger(device: Bytes(100), host: Bytes(100))
        _ = ledger.reserve(Bytes(60), for: .gradients, on: .device)
        ledger.release(Bytes(60), of: .gradients, on: .device)
        _ = ledger.reserve(Bytes(50), for: .recorded, on: .device)
        _ = ledger.reserve(Bytes(40), for: .kv, on: .device)
        _ = ledger.reserve(Bytes(90), for: .recorded, on: .host)
        #expect(ledger.record.trainingPeak == Bytes(60))
        #expect(ledger.record.device.peak == Bytes(90))
        #expect(ledger.record.host.peak == Bytes(90))
    }

    @Test func aDoubleReleaseIsRefused() async {
        await #expect(processExitsWith: .failure) {
            var ledger = Ledger(device: Bytes(100), host: Bytes(100))
            _ = ledger.reserve(Bytes(10), for: .kv, on: .device)
            _ = ledger.reserve(Bytes(10), for: .recorded, on: .device)
            ledger.release(Bytes(10), of: .kv, on: .device)
            ledger.release(Bytes(1), of: .kv, on: .device)
        }
        await #expect(processExitsWith: .failure) {
            var ledger = Ledger(device: Bytes(100), host: Bytes(100))
            _ = ledger.reserve(Bytes(10), for: .recorded, on: .device)
            ledger.release(Bytes(10), of: .recorded, on: .host)
        }
    }

    @Test func aNegativeReservationIsRefused() async {
        await #expect(processExitsWith: .failure) {
            var ledger = Ledger(device: Bytes(100), host: Bytes(100))
            _ = ledger.reserve(Bytes(-1), for: .kv, on: .device)
        }
    }
}

@Suite struct MemorySeriesTests {
    /// Each bucket holds the highest level that each owner had in it: at its beginning or set within.
    @Test(arguments: 0..<40) func agreesWithTheWholeHistory(seed: Int) {
        var stream = RandomStream(seed: UInt64(seed), name: "series")
        let capacity = [2, 3, 8, 33][stream.below(4)]
        let scale = [10_000, 1_000_000, 50_000_000][stream.below(3)]
        var series = MemorySeries(capacity: capacity)
        let owners: [MemoryOwner] = [.kv, .recorded, .weights]
        var history: [(time: Int64, owner: MemoryOwner, bytes: Int)] = []
        var time: Int64 = 0
        for _ in 0..<200 {
            if stream.below(4) > 0 { time += Int64(stream.below(scale)) }
            let owner = owners[stream.below(owners.count)]
            let bytes = stream.below(1000)
            series.record(owner, bytes: bytes, at: SimTime(nanoseconds: time))
            history.append((time, owner, bytes))
        }
        let width = series.width.nanoseconds
        #expect(series.levels.count <= capacity)
        #expect(series.levels.count == Int(time / width) + 1)
        #expect(width == 1_000_000 || Int64(capacity) * width / 2 <= time, "coarser than it has to be")
        for owner in MemoryOwner.allCases {
            let own = history.filter { $0.owner == owner }
            for (bucket, levels) in series.levels.enumerated() {
                let start = Int64(bucket) * width
                let atStart = own.last { $0.time < start }?.bytes ?? 0
                let within = own.filter { $0.time >= start && $0.time < start + width }.map(\.bytes)
                #expect(levels[owner.rawValue] == max(atStart, within.max() ?? 0))
            }
            let peak = series.levels.map { $0[owner.rawValue] }.max()
            #expect(peak == own.map(\.bytes).max() ?? 0, "coarsening lost a peak")
        }
    }
}
