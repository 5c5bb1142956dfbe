import Simulator
import Testing

/// A small memory system, and complete records in it.
enum RecordFixture {
    static let sizes = RecordSizes(
        layers: 3, activationsPerToken: Bytes(50), kvPerToken: Bytes(8), finalPerToken: Bytes(12))
    /// Of the last layer most is kept of the final rows alone.
    static let unevenSizes = RecordSizes(
        activations: [
            RecordSizes.Layer(perToken: Bytes(50)), RecordSizes.Layer(perToken: Bytes(70)),
            RecordSizes.Layer(perToken: Bytes(20), perFinalRow: Bytes(30)),
        ], kvPerToken: Bytes(8), finalPerToken: Bytes(12))
    /// Bytes of the three layers' activations of a token, and of all of a token's pieces.
    static let perToken = 150
    static let whole = 174

    static func system(
        device: Int, host: Int, blockTokens: Int = 4, latency: Int64 = 3, sizes: RecordSizes = sizes,
        kvBlocks: Int? = nil,
        _ change: (inout RecordingConfiguration) -> Void = { _ in }
    ) -> MemorySystem {
        var configuration = DeviceConfiguration()
        configuration.memory = Bytes(device)
        configuration.hostMemory = Bytes(host)
        configuration.linkBandwidth = 1e9
        configuration.linkLatency = SimDuration(nanoseconds: latency)
        var recording = RecordingConfiguration()
        change(&recording)
        return MemorySystem(
            device: configuration, kvBlockTokens: blockTokens, sizes: sizes, kvBlocks: kvBlocks,
            recording: recording)
    }

    /// A complete record of the first tokens of a new request.
    static func recorded(
        _ memory: inout MemorySystem, request: Int = 0, tokens: Int, finalRows: Int = 1
    ) throws -> (id: ChunkID, blocks: [Int]) {
        let opened = memory.openRequest(request, tokens: tokens)
        let blocks = try #require(opened)
        let id = memory.beginRecord(
            request: request, tokens: 0..<tokens, finalRows: finalRows, versions: 0...0, blocks: blocks)
        memory.endWriting(try #require(id))
        return (try #require(id), blocks)
    }

    /// Runs all queued transfers; returns the durations of those to the host.
    @discardableResult
    static func runCopies(_ memory: inout MemorySystem) -> [Int64] {
        var durations: [Int64] = []
        while true {
            let started = memory.startCopies(at: SimTime(nanoseconds: 1_000_000)).started
            durations += started.filter { $0.direction == .toHost }.map(\.duration.nanoseconds)
            guard !started.isEmpty else { return durations }
            _ = memory.finishCopy(.toHost)
            _ = memory.finishCopy(.toDevice)
        }
    }
}
