import Engine
import MeasuredBackend
import Simulator
import Testing

/// What fewer bits for records save, and what they do to gradients, on a real transformer.
@Suite(.serialized) struct PrecisionTests {
    private static func run(
        _ precision: PiecePrecision, isFull: Bool, _ change: (inout ArmConfiguration) -> Void = { _ in }
    ) throws -> ArmLog {
        let trace = try TinyArm.trace(requests: 24)
        return try TinyArm.run(
            TinyArm.configuration {
                $0.recording.precision = precision
                $0.training.learningRate = 1e-3
                if isFull { $0.training.tuning = .full }
                change(&$0)
            }, trace
        ).log
    }

    private static func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

    @Test(arguments: [false, true]) func fewerBitsCostAccuracyAndSpareBytes(isFull: Bool) throws {
        let logs = try [PiecePrecision.fp32, .bf16, .int8].map { try Self.run($0, isFull: isFull) }
        let errors = logs.map { Self.median($0.steps.compactMap { $0.audit?.precisionError }) }
        let cosines = logs.map { Self.median($0.steps.compactMap { $0.audit?.precisionCosine }) }
        let bytes = logs.map { log in
            Double(log.transfers.filter { $0.direction == .toHost }.reduce(0) { $0 + $1.bytes.count })
                / Double(log.requests.reduce(0) { $0 + $1.recordedTokens })
        }
        #expect(errors[0] <= 1e-5)
        #expect(errors[0] < 0.1 * errors[1] && errors[1] < 0.5 * errors[2] && errors[2] < 0.5, "errors \(errors)")
        #expect(cosines[0] >= cosines[1] && cosines[1] > cosines[2] && cosines[2] > 0.95, "cosines \(cosines)")
        #expect(bytes[1] < 0.52 * bytes[0] && bytes[2] < 0.32 * bytes[0], "bytes per token \(bytes)")
        for log in logs {
            let audits = log.steps.compactMap(\.audit)
            #expect(!audits.isEmpty && audits.allSatisfy { $0.roundingError <= 1e-5 })
            TinyArm.expectRealBytes(log)
        }
    }

    /// On the device a record is as narrow as anywhere, and K and V are read where serving reads them, in full.
    @Test func recordsOnTheDeviceAreNarrow() throws {
        let logs = try [PiecePrecision.own, .int8].map { precision in
            try Self.run(precision, isFull: false) { $0.recording.offload = .none }
        }
        let peaks = logs.map { Double($0.memory.device.peakByOwner[MemoryOwner.recorded.rawValue].count) }
        #expect(peaks[1] < 0.35 * peaks[0], "\(peaks)")
        let kv = logs.map { $0.memory.device.kvPeak }
        #expect(kv[0] == kv[1])
    }

    /// A record of other tokens than training learns from is found out, although each of its values is rounded coarsely.
    @Test(arguments: [PiecePrecision.own, .bf16, .int8]) func aWrongRecordShowsInTheRoundingError(
        precision: PiecePrecision
    ) throws {
        final class Lying: TokenIDs {
            let truth: TinyTokens
            /// The first to ask for a request's tokens is the iteration that serves its first ones.
            var served: Set<Int> = []

            init(_ trace: Trace) { truth = TinyTokens(trace) }

            func sequence(of request: Int) -> [Int32] {
                var ids = truth.sequence(of: request)
                if served.insert(request).inserted, ids.count > 3 { ids[3] = (ids[3] + 1) % 512 }
                return ids
            }
            func answer(_ number: Int, to request: Int, tokens: Int) -> [Int32] {
                truth.answer(number, to: request, tokens: tokens)
            }
        }
        let trace = try TinyArm.trace(requests: 12)
        let configuration = TinyArm.configuration { $0.recording.precision = precision }
        let tokens = Lying(trace)
        var simulation = try TinyArm.simulation(configuration, trace, TinyArm.backend(configuration, tokens))
        let log = try simulation.run()
        let worst = log.steps.compactMap { $0.audit?.roundingError }.max() ?? 0
        #expect(worst > 1e-2, "a wrong record leaves a rounding error of \(worst)")
    }
}
