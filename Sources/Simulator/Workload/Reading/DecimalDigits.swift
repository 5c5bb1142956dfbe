/// Whole numbers as decimal text: most bytes of a large trace are such.
enum DecimalDigits {
    /// Writes a number's digits, at most 20; how many.
    @inline(__always)
    static func write(_ value: UInt64, at place: UnsafeMutableRawPointer) -> Int {
        if value < 10 {
            place.storeBytes(of: UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value), as: UInt8.self)
            return 1
        }
        let count = count(of: value)
        var rest = value
        var next = place + count
        while rest >= 10 {
            let pair = rest % 100
            rest /= 100
            next -= 2
            // The ten's digit first, lowest in memory.
            let digits = UInt16(truncatingIfNeeded: pair / 10 | (pair % 10) << 8) + 0x3030
            next.storeBytes(of: digits.littleEndian, as: UInt16.self)
        }
        if next > place {
            place.storeBytes(of: UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest), as: UInt8.self)
        }
        return count
    }

    @inline(__always)
    private static func count(of value: UInt64) -> Int {
        var rest = value
        var count = 0
        while rest >= 10_000 {
            rest /= 10_000
            count += 4
        }
        return count + (rest < 100 ? (rest < 10 ? 1 : 2) : (rest < 1000 ? 3 : 4))
    }
}
