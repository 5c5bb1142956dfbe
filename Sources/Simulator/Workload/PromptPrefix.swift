/// What a prompt shares with others, told without its token ids: the names of its leading blocks.
///
/// Two blocks of one name hold the same tokens, from the first on. So prompts that begin with the same names begin with
/// the same tokens, and a cache of prefixes finds them again. A name stands for tokens and not for a place: a block may
/// be anywhere in a prefix. Names from logs such as Mooncake's are hashes of all tokens up to a block's end.
public struct PromptPrefix: Sendable, Equatable {
    /// Tokens of each block, at least 1.
    public var blockTokens: Int
    /// The names, at least one, none negative. They may reach beyond the prompt by less than one block: the last block
    /// then gives only its first tokens.
    public var blocks: [Int]

    public init(blockTokens: Int, blocks: [Int]) {
        self.blockTokens = blockTokens
        self.blocks = blocks
    }

    /// How many of a prompt's tokens the blocks give.
    public func coverage(of promptTokens: Int) -> Int {
        let (tokens, overflowed) = blockTokens.multipliedReportingOverflow(by: blocks.count)
        return overflowed ? promptTokens : min(tokens, promptTokens)
    }
}
