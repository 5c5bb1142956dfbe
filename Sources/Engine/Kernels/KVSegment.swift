internal import Glibc

/// Where K and V of some consecutive positions of one sequence lie, for one layer.
///
/// A row holds all KV heads of a token, head after head. K is stored after rotary embedding.
public struct KVSegment: BitwiseCopyable {
    /// Row of K of position `start`.
    public let keys: UnsafeMutablePointer<Float>
    /// Row of V of position `start`.
    public let values: UnsafeMutablePointer<Float>
    /// Floats from one position to the next, in K and in V.
    public let rowStride: Int
    /// First position held.
    public let start: Int
    /// Positions held.
    public let count: Int

    public init(
        keys: UnsafeMutablePointer<Float>, values: UnsafeMutablePointer<Float>, rowStride: Int, start: Int, count: Int
    ) {
        precondition(start >= 0 && count >= 0, "a segment holds positions from 0 on")
        self.keys = keys
        self.values = values
        self.rowStride = rowStride
        self.start = start
        self.count = count
    }

    /// One past the last position held.
    public var end: Int { start + count }
}

/// K and V of one sequence at one layer: segments in order of position, without gaps, from position 0.
package struct KVView {
    package let segments: UnsafeBufferPointer<KVSegment>

    package init(_ segments: UnsafeBufferPointer<KVSegment>) { self.segments = segments }

    /// Positions covered: 0 up to here. A gap is a programmer error.
    package var end: Int {
        var end = 0
        for segment in segments {
            precondition(segment.start == end, "K and V are missing for positions \(end)..<\(segment.start)")
            end = segment.end
        }
        return end
    }

    /// One head's K and V of positions `start..<start + count`: in place when one segment holds them all, otherwise
    /// gathered into the two scratch tiles [count, headSize].
    func tile(
        start: Int, count: Int, headOffset: Int, headSize: Int,
        keyScratch: UnsafeMutablePointer<Float>, valueScratch: UnsafeMutablePointer<Float>
    ) -> (keys: Matrix, values: Matrix) {
        let bytes = headSize * MemoryLayout<Float>.stride
        for segment in segments where segment.end > start {
            if segment.start <= start && segment.end >= start + count {
                let offset = (start - segment.start) * segment.rowStride + headOffset
                return (
                    Matrix(segment.keys + offset, rows: count, columns: headSize, stride: segment.rowStride),
                    Matrix(segment.values + offset, rows: count, columns: headSize, stride: segment.rowStride)
                )
            }
            if segment.start >= start + count { break }
            for position in max(segment.start, start)..<min(segment.end, start + count) {
                let offset = (position - segment.start) * segment.rowStride + headOffset
                memcpy(keyScratch + (position - start) * headSize, segment.keys + offset, bytes)
                memcpy(valueScratch + (position - start) * headSize, segment.values + offset, bytes)
            }
        }
        return (
            Matrix(keyScratch, rows: count, columns: headSize), Matrix(valueScratch, rows: count, columns: headSize)
        )
    }
}
