/// How many records go back to each version of the weights, and which version is the oldest of these.
struct VersionCounts: Sendable {
    private var counts: [Int: Int] = [:]
    /// The oldest version that is counted.
    private(set) var oldest: Int?
    private var newest = 0

    mutating func add(_ version: Int) {
        counts[version, default: 0] += 1
        newest = counts.count == 1 ? version : max(newest, version)
        oldest = min(oldest ?? version, version)
    }

    /// Versions are left behind in ascending order, so that the search for the next one takes constant time on average.
    mutating func remove(_ version: Int) {
        guard let count = counts[version] else { Law.broken("version \(version) is not counted") }
        counts[version] = count > 1 ? count - 1 : nil
        guard count == 1, version == oldest else { return }
        oldest = counts.isEmpty ? nil : (version...newest).first { counts[$0] != nil }
    }
}
