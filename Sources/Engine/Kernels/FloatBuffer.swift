internal import Glibc

/// An owned run of floats, aligned to a cache line. Large ones are aligned to, and ask for, huge pages.
public final class FloatBuffer {
    /// Floats held.
    public let count: Int
    /// First float; valid while the buffer lives.
    public let base: UnsafeMutablePointer<Float>
    /// Bytes held: four per float, without alignment.
    public var byteCount: Int { count * MemoryLayout<Float>.stride }

    private static let hugePage = 2 << 20

    /// Allocates `count` zeros.
    public init(count: Int) {
        precondition(count >= 0, "a buffer cannot hold \(count) floats")
        self.count = count
        let bytes = max(count, 16) * MemoryLayout<Float>.stride
        let isLarge = bytes >= 2 * Self.hugePage
        var memory: UnsafeMutableRawPointer?
        guard posix_memalign(&memory, isLarge ? Self.hugePage : 64, bytes) == 0, let raw = memory else {
            SystemResource.memory(bytes: bytes).isRefused()
        }
        if isLarge { madvise(raw, bytes, Int32(MADV_HUGEPAGE)) }
        base = raw.bindMemory(to: Float.self, capacity: max(count, 16))
        memset(raw, 0, bytes)
    }

    deinit { free(base) }

    /// Every float set to zero.
    public func clear() { memset(base, 0, byteCount) }

    /// The floats as Swift sees memory; do not keep it beyond the buffer.
    public var floats: UnsafeMutableBufferPointer<Float> { UnsafeMutableBufferPointer(start: base, count: count) }

    /// The floats as bytes, for copies between arenas.
    public var bytes: UnsafeMutableRawBufferPointer { UnsafeMutableRawBufferPointer(floats) }

    /// Copies `other`, which must have the same length.
    public func copy(from other: FloatBuffer) {
        precondition(other.count == count, "cannot copy \(other.count) floats onto \(count)")
        memcpy(base, other.base, byteCount)
    }
}

/// Scratch that grows to the largest size asked of it, exactly, and is then reused.
final class Scratch {
    private var buffer = FloatBuffer(count: 0)

    /// Bytes held.
    var byteCount: Int { buffer.byteCount }

    /// Room for `count` floats; earlier pointers and contents are lost when it grows.
    func reserve(_ count: Int) -> UnsafeMutablePointer<Float> {
        if count > buffer.count {
            // The old memory goes before the new comes.
            buffer = FloatBuffer(count: 0)
            buffer = FloatBuffer(count: count)
        }
        return buffer.base
    }
}

/// Buffers that go round: an activation block of a finished layer becomes one of the next micro-batch without
/// new pages from the system.
public final class BufferPool {
    private var idle: [FloatBuffer] = []

    public init() {}

    /// A buffer of at least `count` floats, its contents undefined: the smallest idle one that is not over twice the
    /// size, or a new one.
    public func take(_ count: Int) -> FloatBuffer {
        var best: Int?
        for index in idle.indices where idle[index].count >= count && idle[index].count <= 2 * count + 1024 {
            if let known = best, idle[known].count <= idle[index].count { continue }
            best = index
        }
        if let best { return idle.remove(at: best) }
        return FloatBuffer(count: count)
    }

    /// Hands a buffer back; the giver must not use it again.
    public func give(_ buffer: FloatBuffer) { idle.append(buffer) }
}
