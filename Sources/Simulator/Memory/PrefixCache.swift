/// Which full KV blocks can be shared by what they hold, and in which order those that nobody refers to give way.
///
/// The cache knows blocks, not bytes: `KVPool` keeps references and books. A block is *idle* while only the cache holds
/// it. Idle blocks form a list from the least recently used on.
public struct PrefixCache: Sendable {
    /// What blocks must have in common, besides tokens, to be the same.
    public struct Scope: Sendable, Equatable {
        /// The adapter that computed them; reserved: an arm has one, and it is 0.
        public var adapter = 0
        /// The weights that computed them; `nil` shares across versions.
        public var version: Int?

        public init(adapter: Int = 0, version: Int?) {
            self.adapter = adapter
            self.version = version
        }
    }

    private struct Entry: Sendable {
        var key: BlockHash?
        /// Oldest version of the weights among its K and V and all that they attended to.
        var oldestVersion = 0
        var isIdle = false
        var previous = -1
        var next = -1
    }

    private var blocks: [BlockHash: Int] = [:]
    /// By block.
    private var entries: [Entry] = []
    private var oldest = -1
    private var newest = -1
    public private(set) var idleCount = 0

    public init() {}

    /// Blocks that can be found.
    public var count: Int { blocks.count }

    public func contains(_ id: Int) -> Bool { id < entries.count && entries[id].key != nil }

    /// The block that is known as `key`.
    public func block(for key: BlockHash) -> Int? { blocks[key] }

    public func oldestVersion(of id: Int) -> Int { entries[id].oldestVersion }

    /// The oldest version that any known block goes back to.
    public var oldestVersion: Int? { blocks.values.lazy.map { entries[$0].oldestVersion }.min() }

    /// Makes a block known; none of the same contents is.
    mutating func register(_ id: Int, as key: BlockHash, oldestVersion: Int) {
        while entries.count <= id { entries.append(Entry()) }
        Law.require(entries[id].key == nil && blocks[key] == nil, "KV block \(id) is known already")
        blocks[key] = id
        entries[id].key = key
        entries[id].oldestVersion = oldestVersion
    }

    /// Nobody but the cache holds the block any more.
    mutating func rest(_ id: Int) {
        Law.require(entries[id].key != nil && !entries[id].isIdle, "KV block \(id) can not rest in the cache")
        entries[id].isIdle = true
        entries[id].previous = newest
        entries[id].next = -1
        if newest >= 0 { entries[newest].next = id } else { oldest = id }
        newest = id
        idleCount += 1
    }

    /// Somebody refers to the block again.
    mutating func wake(_ id: Int) {
        Law.require(entries[id].isIdle, "KV block \(id) is not in the cache alone")
        let (previous, next) = (entries[id].previous, entries[id].next)
        if previous >= 0 { entries[previous].next = next } else { oldest = next }
        if next >= 0 { entries[next].previous = previous } else { newest = previous }
        entries[id].isIdle = false
        idleCount -= 1
    }

    /// Forgets an idle block.
    mutating func forget(_ id: Int) {
        wake(id)
        if let key = entries[id].key { blocks[key] = nil }
        entries[id].key = nil
    }

    /// Forgets a block that others hold.
    mutating func displace(_ id: Int) {
        Law.require(!entries[id].isIdle, "KV block \(id) is in the cache alone")
        if let key = entries[id].key { blocks[key] = nil }
        entries[id].key = nil
    }

    mutating func evictOldest() -> Int? {
        guard oldest >= 0 else { return nil }
        let id = oldest
        forget(id)
        return id
    }

    /// Forgets every block; returns those that were idle, the least recently used first.
    mutating func removeAll() -> [Int] {
        let idle = idleBlocks
        entries.removeAll(keepingCapacity: true)
        blocks.removeAll(keepingCapacity: true)
        (oldest, newest, idleCount) = (-1, -1, 0)
        return idle
    }

    /// The idle blocks, the least recently used first.
    package var idleBlocks: [Int] {
        var list: [Int] = []
        var id = oldest
        while id >= 0 {
            list.append(id)
            id = entries[id].next
        }
        return list
    }
}
