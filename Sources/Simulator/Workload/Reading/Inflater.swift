internal import CZlib

/// Unpacks the members of a gzip file, piece by piece.
struct Inflater: ~Copyable {
    /// zlib keeps the address of its stream, which therefore must not move.
    private let stream: UnsafeMutablePointer<z_stream>
    /// Whether a member has been begun and not ended.
    private(set) var isWithinMember = false

    enum Failure: Error {
        case damaged
        case outOfMemory
    }

    init() throws(Failure) {
        let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
        stream.initialize(to: z_stream())
        guard alchemist_inflate_init_gzip(stream) == Z_OK else {
            stream.deallocate()
            throw .outOfMemory
        }
        self.stream = stream
    }

    deinit {
        inflateEnd(stream)
        stream.deallocate()
    }

    /// Unpacks from `input` into `room` until one of them is used up; how much of each was.
    mutating func unpack(
        _ input: UnsafeRawBufferPointer, into room: UnsafeMutableRawBufferPointer
    ) throws(Failure) -> (consumed: Int, produced: Int) {
        stream.pointee.next_in = UnsafeMutablePointer(
            mutating: input.baseAddress?.assumingMemoryBound(to: UInt8.self))
        stream.pointee.avail_in = UInt32(input.count)
        stream.pointee.next_out = room.baseAddress?.assumingMemoryBound(to: UInt8.self)
        stream.pointee.avail_out = UInt32(room.count)
        // Output may be left over from the bytes that came before, so there is something to do without input too.
        while stream.pointee.avail_out > 0, stream.pointee.avail_in > 0 || isWithinMember {
            isWithinMember = true
            switch inflate(stream, Z_NO_FLUSH) {
            case Z_OK: break
            case Z_BUF_ERROR: return progress(input, room)
            case Z_STREAM_END:
                isWithinMember = false
                guard inflateReset(stream) == Z_OK else { throw .damaged }
            case Z_MEM_ERROR: throw .outOfMemory
            default: throw .damaged
            }
        }
        return progress(input, room)
    }

    private func progress(
        _ input: UnsafeRawBufferPointer, _ room: UnsafeMutableRawBufferPointer
    ) -> (consumed: Int, produced: Int) {
        (input.count - Int(stream.pointee.avail_in), room.count - Int(stream.pointee.avail_out))
    }
}
