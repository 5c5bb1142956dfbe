import Simulator

/// What deciding an iteration costs: the scheduler, the KV blocks and the books, without the work decided on.
enum SchedulingBenchmarks {
    static let batches = [32, 256]
    private static let prompt = 120
    private static let output = 200
    private static let iterations = 2_000

    /// Microseconds that an iteration may take with `running` sequences.
    static func limit(running: Int) -> Double { 2 + 0.05 * Double(running) }

    /// Microseconds per iteration of a server with `running` sequences, each replaced by the next request when it ends.
    static func iteration(running: Int, _ bench: Bench) -> Figure {
        var server = Server(running: running)
        // Until sequences have spread over their lengths.
        for _ in 0..<output { server.step() }
        let times = (0..<bench.rounds).map { _ in
            bench.seconds { for _ in 0..<iterations { server.step() } } / Double(iterations) * 1e6
        }
        return Figure("scheduling \(running)", times, unit: "us per iteration")
    }

    private struct Server {
        var scheduler: Scheduler
        var memory: MemorySystem
        var requests = 0

        init(running: Int) {
            var configuration = ServingConfiguration()
            configuration.maxBatch = running
            configuration.tokenBudget = running + 256
            scheduler = Scheduler(configuration: configuration)
            var device = DeviceConfiguration()
            device.memory = Bytes(1 << 40)
            memory = MemorySystem(
                device: device, kvBlockTokens: configuration.kvBlockTokens,
                sizes: RecordSizes(
                    layers: 32, activationsPerToken: Bytes(1 << 17), kvPerToken: Bytes(1 << 12),
                    finalPerToken: Bytes(1 << 13)), kvBlocks: 1 << 20)
            for _ in 0..<running { arrive() }
        }

        mutating func arrive() {
            // Lengths that differ, so that sequences do not end together.
            scheduler.enqueue(
                request: requests, promptTokens: prompt + requests % 17, outputTokens: output + requests * 7 % 61)
            requests += 1
        }

        mutating func step() {
            scheduler.beginIteration()
            let progress = scheduler.plan(&memory)
            precondition(progress == .planned, "memory is ample")
            _ = scheduler.takeAdmissions()
            let iteration = ServingIteration(slices: scheduler.takeSlices(), version: 0)
            for sequence in scheduler.complete(iteration, &memory) {
                memory.closeRequest(sequence.request, blocks: sequence.kvBlocks)
                arrive()
            }
            _ = memory.takeMovements()
        }
    }
}
