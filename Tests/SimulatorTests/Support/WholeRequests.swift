import Simulator

/// Blocks for whole requests at once, for tests of what is done with them.
extension KVPool {
    mutating func allocate(tokens: Int, ledger: inout Ledger) -> [Int]? {
        var table: [Int] = []
        var freed: [Int] = []
        return allocate(blockCount(for: tokens), to: &table, ledger: &ledger, freed: &freed) ? table : nil
    }
}

extension MemorySystem {
    mutating func openRequest(_ request: Int, tokens: Int) -> [Int]? {
        var table: [Int] = []
        return extend(request, &table, by: kv.blockCount(for: tokens)) ? table : nil
    }
}
