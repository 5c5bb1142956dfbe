/// The copies that bring a micro-batch's offloaded records back, in the order in which they are asked for.
///
/// K and V of all layers come first and in forward order, because the forward pass of the unrecorded tokens attends to
/// them; without such tokens they come with their layer. Then the final norm's inputs and the layers' activations come
/// in backward order, as many layers ahead as the window has room for.
public struct ReloadPlan: Sendable {
    struct Group: Sendable {
        var layer: Int
        var jobs: [(job: CopyJob, bytes: Bytes)]
        var bytes: Bytes { jobs.reduce(.zero) { $0 + $1.bytes } }
    }

    private var kv: [Group] = []
    private var activations: [Group] = []
    private var nextActivations = 0
    private var askedForKV = false
    private var room: Bytes
    private var staged: [Int: Bytes] = [:]

    /// Room for K and V, reserved until the micro-batch is closed.
    public let kvBytes: Bytes
    /// Room for the staged activations: the layer in use and those prefetched.
    public let windowBytes: Bytes

    public init(chunks: [ChunkID], records: RecordStore, layers: Int, prefetchLayers: Int, hasFreshRows: Bool) {
        func group(_ layer: Int, _ part: CopyJob.Part) -> Group {
            let jobs = chunks.map { chunk in
                (
                    job: CopyJob(chunk: chunk, layer: layer, part: part),
                    bytes: records.bytesToReload(chunk, layer: layer, part: part)
                )
            }
            return Group(layer: layer, jobs: jobs.filter { $0.bytes > .zero })
        }
        kv = (0..<layers).map { group($0, .kv) }
        if !hasFreshRows { kv.reverse() }
        activations = (0...layers).reversed().map { group($0, .activations) }
        kvBytes = kv.reduce(.zero) { $0 + $1.bytes }
        let sizes = activations.map(\.bytes)
        let window = prefetchLayers + 1
        windowBytes =
            sizes.indices.map { first in sizes[first...].prefix(window).reduce(.zero, +) }.max() ?? .zero
        room = windowBytes
    }

    /// The copies that can be asked for now.
    public mutating func next() -> [(job: CopyJob, bytes: Bytes)] {
        var jobs: [(job: CopyJob, bytes: Bytes)] = []
        if !askedForKV {
            askedForKV = true
            jobs += kv.flatMap(\.jobs)
        }
        while nextActivations < activations.count, activations[nextActivations].bytes <= room {
            let group = activations[nextActivations]
            room -= group.bytes
            staged[group.layer] = group.bytes
            jobs += group.jobs
            nextActivations += 1
        }
        return jobs
    }

    /// Backward is through with `layer`: its staged bytes make room for others.
    public mutating func consumed(layer: Int) { room += staged.removeValue(forKey: layer) ?? .zero }
}
