/// The decimal digits that eight bytes of text begin with, found all at once: numbers are what large traces are made of.
struct LeadingDigits {
    private static let zeros: UInt64 = 0x3030_3030_3030_3030
    /// Each byte less that of `0`, the first one lowest: 0 to 9 for digits and more for all else.
    private let values: UInt64
    /// From 0 to 8.
    let count: Int

    /// Looks at the eight bytes from `start`, all of which must be readable.
    @inline(__always)
    init(at start: UnsafeRawPointer) {
        values = UInt64(littleEndian: start.loadUnaligned(as: UInt64.self)) ^ Self.zeros
        // Adding 0x76 sets the highest bit from 10 on. Only a byte that is no digit can carry into the next one, and what
        // follows the first such does not count.
        let others = ((values &+ 0x7676_7676_7676_7676) | values) & 0x8080_8080_8080_8080
        count = others.trailingZeroBitCount >> 3
    }

    /// Whether the first digit is a zero.
    var beginsWithZero: Bool { values & 0xff == 0 }

    /// The number that the digits make, 0 if there are none.
    var number: Int {
        guard count > 0 else { return 0 }
        // Moved to the end, so that zeros stand in front; then pairs, fours and the whole are put together.
        var rest = values << UInt64(64 - 8 * count)
        rest = (rest &* 10 &+ rest >> 8) & 0x00ff_00ff_00ff_00ff
        rest = (rest &* 100 &+ rest >> 16) & 0x0000_ffff_0000_ffff
        return Int(truncatingIfNeeded: (rest &* 10_000 &+ rest >> 32) & 0xffff_ffff)
    }

    /// Writes the eight bytes looked at to `target`.
    @inline(__always)
    func copy(to target: UnsafeMutableRawPointer) {
        target.storeBytes(of: (values ^ Self.zeros).littleEndian, as: UInt64.self)
    }
}
