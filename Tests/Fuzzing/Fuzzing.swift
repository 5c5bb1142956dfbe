import Foundation
import Synchronization

/// What fuzzing of readers has in common: how many cases, how long each may take, and where those go that a reader did not
/// take well.
///
/// `ALCHEMIST_FUZZ_CASES` sets the number of cases for each reader; without it a few seconds of them run.
/// `ALCHEMIST_FUZZ_CORPUS` names a folder in which every case lies while it runs, so that one that ends or hangs the process
/// is still there, and where those stay that failed. What stands in `Tests/Fuzzing/Corpus` is read in every run.
public enum Fuzzing {
    /// Processor time that a case may take, and the time after which it is taken for one that hangs.
    static let limit = 1.0
    private static let hang = 30.0

    private static let wanted = ProcessInfo.processInfo.environment["ALCHEMIST_FUZZ_CASES"].flatMap { Int($0) }
    private static let folder = ProcessInfo.processInfo.environment["ALCHEMIST_FUZZ_CORPUS"]

    /// Cases of one of the `parts` that a reader's cases are shared among.
    public static func cases(_ quick: Int, ofParts parts: Int = 1) -> Int {
        wanted.map { ($0 + parts - 1) / parts } ?? quick
    }

    /// How many cases were asked for, if any were.
    public static var isLong: Bool { wanted != nil }

    /// A time limit for a test of so many cases.
    public static var minutes: Int { isLong ? 180 : 2 }

    // MARK: Cases

    private struct Running {
        var path: String?
        var start: Double
    }

    private static let running = Mutex<[Int: Running]>([:])
    private static let count = Atomic<Int>(0)

    /// Has `body` read a case.
    ///
    /// - Returns: what is wrong with that, in words; nil if nothing is.
    public static func attempt(_ reader: String, _ bytes: [UInt8], _ body: () -> String?) -> String? {
        guard isLong else { return body() }
        _ = watchdog
        let number = count.add(1, ordering: .relaxed).newValue
        let path = folder.map { "\($0)/\(reader)-\(getpid())-\(number)" }
        if let path {
            precondition(
                FileManager.default.createFile(atPath: path, contents: Data(bytes)), "a case is not kept in \(path)")
        }
        running.withLock { $0[number] = Running(path: path, start: now(CLOCK_MONOTONIC)) }
        let start = now(CLOCK_THREAD_CPUTIME_ID)
        var problem = body()
        let taken = now(CLOCK_THREAD_CPUTIME_ID) - start
        running.withLock { $0[number] = nil }
        if problem == nil, taken > limit { problem = "took \(taken) s" }
        if problem == nil, let path { unlink(path) }
        return problem.map { $0 + (path.map { ", kept in \($0)" } ?? "") }
    }

    private static func now(_ clock: clockid_t) -> Double {
        var time = timespec()
        clock_gettime(clock, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }

    /// Ends the process when a case hangs.
    private static let watchdog: Void = Thread.detachNewThread {
        while true {
            sleep(1)
            let limit = now(CLOCK_MONOTONIC) - hang
            guard let hanging = running.withLock({ $0.values.first { $0.start < limit } }) else { continue }
            FileHandle.standardError.write(Data("a case hangs: \(hanging.path ?? "it was not kept")\n".utf8))
            abort()
        }
    }

    // MARK: The corpus

    /// Cases that were found earlier.
    public static func corpus(_ reader: String) -> [(name: String, bytes: [UInt8])] {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Corpus")
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        return names.filter { $0.hasPrefix(reader + "-") }.sorted().compactMap { name in
            (try? Data(contentsOf: folder.appendingPathComponent(name))).map { (name, [UInt8]($0)) }
        }
    }
}

/// SplitMix64, so that a case can be had again.
public struct FuzzingGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64

    public init(seed: UInt64) { state = seed }

    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    public mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &self) }
}

extension Fuzzing {
    /// Bytes that differ from sound ones in one to four places, or in their length.
    public static func damaged(_ sound: [UInt8], _ generator: inout FuzzingGenerator) -> [UInt8] {
        var bytes = sound
        for _ in 0...generator.below(4) where !bytes.isEmpty {
            let place = generator.below(bytes.count)
            switch generator.below(9) {
            case 0: bytes[place] = UInt8(generator.below(256))
            case 1: bytes[place] = [0, 1, 0x7f, 0x80, 0xff][generator.below(5)]
            case 2: bytes.removeSubrange(place..<min(bytes.count, place + 1 + generator.below(16)))
            case 3:
                bytes.insert(contentsOf: (0...generator.below(16)).map { _ in UInt8(generator.below(256)) }, at: place)
            case 4:
                let from = generator.below(bytes.count)
                bytes.insert(contentsOf: bytes[from..<min(bytes.count, from + generator.below(200))], at: place)
            case 5 where generator.below(4) == 0: bytes.removeSubrange(place...)
            case 6:
                let end = min(bytes.count, place + 8)
                let filling = UInt8(generator.below(2)) &* 255
                bytes.replaceSubrange(place..<end, with: [UInt8](repeating: filling, count: end - place))
            default: bytes[place] ^= 1 << UInt8(generator.below(8))
            }
        }
        return bytes
    }

    /// A text with something in it that its format has a meaning for, or that is longer or deeper than any sound one.
    public static func spoilt(
        _ sound: [UInt8], with fragments: [String], _ generator: inout FuzzingGenerator
    ) -> [UInt8] {
        var bytes = sound
        for _ in 0...generator.below(3) where !bytes.isEmpty {
            let place = generator.below(bytes.count)
            switch generator.below(4) {
            case 0: bytes = damaged(bytes, &generator)
            case 1:
                // A word gives its place up.
                let isBreak = { (byte: UInt8) in [0x0a, 0x20, 0x2c, 0x5b, 0x5d, 0x7b, 0x7d].contains(byte) }
                let start = bytes[..<place].lastIndex(where: isBreak).map { $0 + 1 } ?? 0
                let end = bytes[place...].firstIndex(where: isBreak) ?? bytes.count
                bytes.replaceSubrange(
                    start..<max(start, end), with: fragments[generator.below(fragments.count)].utf8)
            case 2: bytes.insert(contentsOf: fragments[generator.below(fragments.count)].utf8, at: place)
            default:
                var lines = bytes.split(separator: 0x0a, omittingEmptySubsequences: false)
                let from = generator.below(lines.count)
                let to = generator.below(lines.count)
                if generator.below(2) == 0 { lines.swapAt(from, to) } else { lines.insert(lines[from], at: to) }
                bytes = Array(lines.joined(separator: [0x0a]))
            }
        }
        return bytes
    }
}
