/// Prices by two sizes that were asked for before. A new one takes the place of another now and then, so that there are
/// never more than a few thousand.
struct PriceCache {
    private struct Entry {
        var key = UInt64.max
        var price = Price.zero
    }

    private static let digits = 12
    private var entries = [Entry](repeating: Entry(), count: 1 << digits)

    /// The price of sizes below 2^32, made by `make` if it is not known.
    mutating func price(_ a: Int, _ b: Int, make: () -> Price) -> Price {
        let key = UInt64(a) << 32 | UInt64(b)
        // Fibonacci hashing (Knuth, volume 3, section 6.4).
        let place = Int((key &* 0x9e37_79b9_7f4a_7c15) >> UInt64(64 - Self.digits))
        if entries[place].key == key { return entries[place].price }
        let price = make()
        entries[place] = Entry(key: key, price: price)
        return price
    }
}
