import Foundation
import Results
import Simulator
import Testing

/// A directory of its own that goes away with its owner.
struct TemporaryDirectory: ~Copyable {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.path + "/results-tests-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) -> String { path + "/" + name }

    /// Names of all files in it, hidden ones included.
    var contents: [String] {
        get throws { try FileManager.default.contentsOfDirectory(atPath: path).sorted() }
    }
}

/// The error that `work` throws, if it is one of these.
func failure<Failure: Error, Value: ~Copyable>(
    _ type: Failure.Type, _ work: () throws -> Value
) -> Failure? {
    do {
        _ = try work()
        return nil
    } catch {
        return error as? Failure
    }
}

func ms(_ milliseconds: Int64) -> SimDuration { .milliseconds(milliseconds) }
func at(_ milliseconds: Int64) -> SimTime { SimTime(nanoseconds: milliseconds * 1_000_000) }

/// A small run with answers that can be found by hand.
enum Fixture {
    static let provenance = Provenance(
        toolVersion: "1.2.3", gitCommit: "0123abc", commandLine: "alchemist-sim run trace.jsonl", seed: .max,
        buildCPU: "x86-64-v4", runCPU: "Some CPU @ 2 GHz", blasKernel: "SkylakeX", blasKernelChoice: "library",
        threads: 2, created: "2025-01-02T03:04:05Z")

    /// Three requests: prompt 10, 20, 30 tokens; output 3, 1, 5.
    static let trace = Trace(
        source: "three.jsonl", sha256: "ab12",
        requests: [
            Request(id: "a", arrival: at(0), promptTokens: 10, outputTokens: 3, conversation: "c", feedback: .none),
            Request(
                id: "b", arrival: at(100), promptTokens: 20, outputTokens: 1, conversation: "c", turn: 1,
                previousTurn: 0, thinkTime: ms(50), feedback: .given(Feedback(delay: ms(7)))),
            Request(id: "c", arrival: at(200), promptTokens: 30, outputTokens: 5),
        ])

    /// Requests 0 and 1 finish, 2 is refused: TTFT 10 and 30 ms, e2e 50 and 30 ms, gaps 15 and 25 ms.
    static var serving: ArmLog {
        var log = ArmLog()
        log.requests = [
            request(0, arrival: 0, scheduled: 4, first: 10, finish: 50),
            request(1, arrival: 150, scheduled: 160, first: 180, finish: 180),
            RequestRecord(index: 2),
        ]
        log.requests[0].recordedTokens = 8
        log.requests[0].lost[.deviceFull] = 2
        log.requests[2].outcome = .refused
        log.requests[2].effectiveArrival = at(200)
        log.recording.lose(Bytes(5), because: .expired, at: at(40))
        log.recording.lose(Bytes(21), because: .deviceFull, at: at(150))
        log.tokenGaps = [TokenGap(request: 0, gap: ms(15)), TokenGap(request: 0, gap: ms(25))]
        log.quanta = [
            QuantumRecord(
                kind: .serve, start: at(4), duration: ms(6), predicted: ms(5), prefillTokens: 10, recordedTokens: 8,
                shape: 0, version: 0, waiting: 1)
        ]
        log.shapes = [PlanShapeRecord(key: "prefill 10", kind: .serve)]
        log.shapes[0].add(ms(6))
        log.memory.device.capacity = Bytes(1000)
        log.memory.device.peak = Bytes(600)
        log.memory.device.peakByOwner[MemoryOwner.weights.rawValue] = Bytes(500)
        log.memory.device.peakByOwner[MemoryOwner.kv.rawValue] = Bytes(100)
        log.memory.device.series.record(.weights, bytes: 500, at: at(0))
        log.memory.device.series.record(.kv, bytes: 100, at: at(3))
        log.end = at(200)
        return log
    }

    /// The same with two training steps.
    ///
    /// - Parameters:
    ///   - forward: milliseconds of each step's forward pass; all else is 40 ms compute, 5 publish, 5 stall.
    ///   - reused: tokens of each step's 100 whose forward pass was skipped.
    static func training(forward: Int64, reused: Int = 0) -> ArmLog {
        var log = serving
        for (index, loss) in [3.0, 2.0].enumerated() {
            let start = 200 + Int64(index) * 100
            var step = StepRecord(version: index, start: at(start), samples: 2)
            step.tokens = 100
            step.reusedTokens = reused
            step.lossTokens = 20
            step.staleTokens = index
            step.end = at(start + 100)
            step.microBatches = 1
            step.loss = loss
            step.gradientNorm = 0.5
            step.time.forward = ms(forward)
            step.time.loss = ms(10)
            step.time.backward = ms(25)
            step.time.optimizer = ms(5)
            step.time.publish = ms(5)
            step.stall = ms(5)
            step.oldestAge = index + 1
            step.meanAge = Double(index) + 0.5
            log.steps.append(step)
        }
        log.steps[1].audit = GradientAudit(roundingError: 1e-7, stalenessError: 0.02, stalenessCosine: 0.99)
        log.quanta.append(
            QuantumRecord(
                kind: .train, start: at(200), duration: ms(9), predicted: ms(9), shape: 1, version: 0, waiting: 0))
        log.shapes.append(PlanShapeRecord(key: "backward 100", kind: .train))
        log.shapes[1].add(ms(9))
        log.transfers = [
            TransferRecord(
                direction: .toHost, queued: at(10), start: at(11), end: at(12), bytes: Bytes(64), request: 0, layer: 1),
            TransferRecord(
                direction: .toDevice, queued: at(20), start: at(20), end: at(23), bytes: Bytes(32), request: 0,
                layer: 1),
        ]
        log.memory.trainingPeak = reused > 0 ? Bytes(150) : Bytes(300)
        log.memory.host.peak = Bytes(64)
        log.end = at(400)
        return log
    }

    static func run(repeats: Int = 1) -> RunResult {
        RunResult(
            provenance: provenance, scenario: "seed: 1\nname: \"ünï ☃\"\n", trace: trace,
            arms: [
                ArmResult(name: "serve-only", repeats: Array(repeating: serving, count: repeats)),
                ArmResult(name: "recompute", repeats: (0..<repeats).map { training(forward: 50 + Int64($0)) }),
                ArmResult(name: "reuse", repeats: (0..<repeats).map { _ in training(forward: 10, reused: 80) }),
            ],
            comparisons: [ComparedArms(baseline: "recompute", candidate: "reuse", reference: "serve-only")])
    }

    private static func request(
        _ index: Int, arrival: Int64, scheduled: Int64, first: Int64, finish: Int64
    ) -> RequestRecord {
        var record = RequestRecord(index: index)
        record.outcome = .finished
        record.effectiveArrival = at(arrival)
        record.scheduled = at(scheduled)
        record.firstToken = at(first)
        record.finish = at(finish)
        return record
    }
}

extension RunResult {
    /// Writes the results and returns their digest.
    @discardableResult
    func write(to path: String) throws -> String {
        let report = try RunReport(self)
        return try ResultsWriter(creating: path).write(self, report: report)
    }
}
