import Foundation
import Simulator
import Testing

/// One server, one request at a time: waiting times against the formulas for M/M/1 and M/D/1 queues, and against
/// Lindley's recursion, request by request.
@Suite struct QueueTheoryTests {
    enum Service: String, CaseIterable {
        case constant, exponential

        /// Mean wait over mean service time at a load (Pollaczek and Khinchine): rho (1 + c^2) / 2 (1 - rho), with c the
        /// coefficient of variation of the service time.
        func meanWait(load: Double) -> Double { load * (self == .constant ? 0.5 : 1) / (1 - load) }
    }

    /// Serves a request of one token in a time given beforehand.
    private struct ServiceBackend: ExecutionBackend {
        let model = ModelShape.tiny
        let footprint = Footprint(model: .tiny, tuning: .lora(rank: 1, alpha: 1, targets: [.query]))
        let services: [SimDuration]

        func servingWorkspace(tokens: Int) -> Bytes { .zero }
        func trainWorkspace(for microBatch: MicroBatch, unitRows: Int) -> Bytes { .zero }
        func estimate(_ plan: StepPlan) -> SimDuration { .zero }
        mutating func execute(_ plan: StepPlan) throws -> StepOutcome {
            guard case .serve(let iteration) = plan, let slice = iteration.slices.first else {
                return StepOutcome(duration: .zero)
            }
            return StepOutcome(duration: services[slice.request])
        }
        mutating func apply(_ movements: [DataMovement]) throws {}
        mutating func advance(version: Int) throws {}
        mutating func publish(version: Int) throws {}
        mutating func open(_ microBatch: MicroBatch, unitRows: Int) throws {}
        mutating func close(_ microBatch: MicroBatch) throws {}
        mutating func audit(_ microBatches: [MicroBatch]) throws -> GradientAudit? { nil }
        mutating func forgetVersions(before version: Int) {}
    }

    private static let meanService = 1e6
    private static let requests = 100_000

    /// Sum of the waits of one run, in units of the mean service time.
    ///
    /// - Parameter mirrored: draws 1 - u for every u, which makes the long queues of one run the short ones of the other.
    private static func waits(
        _ service: Service, load: Double, seed: Int, mirrored: Bool
    ) throws -> (sum: Double, agreesWithLindley: Bool) {
        var arrivals = RandomStream(seed: UInt64(seed), name: "arrivals")
        var services = RandomStream(seed: UInt64(seed), name: "services")
        func exponential(_ stream: inout RandomStream, mean: Double) -> Int64 {
            let u = max(stream.uniform(), 0x1p-53)
            return Int64((-log(mirrored ? 1 - min(u, 1 - 0x1p-53) : u) * mean).rounded())
        }
        var time: Int64 = 0
        var list: [Request] = []
        list.reserveCapacity(requests)
        var durations: [SimDuration] = []
        for _ in 0..<requests {
            time += exponential(&arrivals, mean: meanService / load)
            list.append(Request(id: "", arrival: SimTime(nanoseconds: time), promptTokens: 1, outputTokens: 1))
            let length = service == .constant ? Int64(meanService) : exponential(&services, mean: meanService)
            durations.append(SimDuration(nanoseconds: length))
        }
        var configuration = ArmConfiguration()
        configuration.serving.maxBatch = 1
        configuration.serving.kvBlockTokens = 1
        var simulation = try Simulation(
            configuration: configuration, trace: Trace(source: "queue", requests: list),
            backend: ServiceBackend(services: durations))
        let served = try simulation.run()
        var sum = 0.0
        var agrees = true
        // A request waits for what is left, at its arrival, of the wait and the service of the one before.
        var expected: Int64 = 0
        for (index, record) in served.requests.enumerated() {
            guard let arrival = record.effectiveArrival, let scheduled = record.scheduled else { return (.nan, false) }
            let wait = (scheduled - arrival).nanoseconds
            if index > 0 {
                let gap = (list[index].arrival - list[index - 1].arrival).nanoseconds
                expected = max(0, expected + durations[index - 1].nanoseconds - gap)
            }
            agrees = agrees && wait == expected
            sum += Double(wait) / meanService
        }
        return (sum, agrees)
    }

    @Test(arguments: Service.allCases, [0.3, 0.5, 0.7, 0.9]) func meanWaitsAreThoseOfTheory(
        service: Service, load: Double
    ) throws {
        // The nearer to its limit a queue is, the longer it remembers.
        let seeds = load < 0.8 ? 2 : 6
        var sum = 0.0
        for seed in 0..<seeds {
            for mirrored in [false, true] {
                let run = try Self.waits(service, load: load, seed: seed, mirrored: mirrored)
                #expect(run.agreesWithLindley)
                sum += run.sum
            }
        }
        let mean = sum / Double(2 * seeds * Self.requests)
        let expected = service.meanWait(load: load)
        #expect(abs(mean / expected - 1) <= 0.03, "\(mean) instead of \(expected)")
    }
}
