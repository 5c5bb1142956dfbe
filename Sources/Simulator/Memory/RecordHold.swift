/// How a record holds its KV blocks: what it would take to have it let them go.
struct RecordHold: OptionSet, Sendable {
    let rawValue: UInt8

    /// The record would be lost, for all or some of its layers.
    static let firm = RecordHold(rawValue: 1)
    /// It can not be had now: the record is being written, copied, or read by training.
    static let fixed = RecordHold(rawValue: 2)
    /// No copy to the host that is queued or under way will do it.
    static let staying = RecordHold(rawValue: 4)
}

extension RecordChunk {
    /// How it holds its KV blocks; in no way if it does not hold them.
    var hold: RecordHold {
        let pieces = onDevice.intersection(LayerSet(0..<layers))
        guard !pieces.isEmpty else { return [] }
        var hold: RecordHold = []
        if !canGiveWay || !copying.intersection(pieces).isEmpty { hold.formUnion([.fixed, .firm]) }
        if !onHost.isSuperset(of: pieces) { hold.formUnion(.firm) }
        if pinned || !queued.union(copying).isSuperset(of: pieces) { hold.formUnion(.staying) }
        return hold
    }
}
