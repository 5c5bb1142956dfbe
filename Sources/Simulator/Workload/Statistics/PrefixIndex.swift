/// The beginnings of prompts seen so far, as digests of blocks, each digest covering what stands before.
struct PrefixIndex: Sendable {
    /// How many tokens of the block at most stood in a prompt: a prompt may end within its last block.
    private var seen: [UInt64: Int32] = [:]

    private static let idBlock = 16

    /// Takes a prompt in; how many of its first tokens an earlier one had.
    mutating func insert(_ request: Request) -> Int {
        if let ids = request.prompt {
            let blocks = ids.count / Self.idBlock
            return insert(blocks, of: Self.idBlock, tokens: blocks * Self.idBlock) { block, digest in
                ids[block * Self.idBlock..<(block + 1) * Self.idBlock].reduce(digest) {
                    Self.mixed($0, UInt64(UInt32(bitPattern: $1)))
                }
            }
        }
        guard let prefix = request.prefix else { return 0 }
        return insert(prefix.blocks.count, of: prefix.blockTokens, tokens: request.promptTokens) { block, digest in
            Self.mixed(Self.mixed(digest, UInt64(prefix.blockTokens)), UInt64(prefix.blocks[block]))
        }
    }

    private mutating func insert(
        _ count: Int, of blockTokens: Int, tokens: Int, _ extended: (_ block: Int, _ digest: UInt64) -> UInt64
    ) -> Int {
        var digest: UInt64 = 0xcbf2_9ce4_8422_2325
        var shared = 0
        var isShared = true
        for block in 0..<count {
            digest = extended(block, digest)
            let own = Int32(truncatingIfNeeded: max(0, min(blockTokens, tokens - block * blockTokens)))
            let known = seen[digest] ?? 0
            if isShared { shared += Int(min(known, own)) }
            isShared = isShared && Int(known) == blockTokens
            if own > known { seen[digest] = own }
        }
        return shared
    }

    private static func mixed(_ digest: UInt64, _ value: UInt64) -> UInt64 {
        let product = (digest ^ value).multipliedFullWidth(by: 0x9e37_79b9_7f4a_7c15)
        return product.high ^ product.low &+ 0x2545_f491_4f6c_dd1d
    }
}
