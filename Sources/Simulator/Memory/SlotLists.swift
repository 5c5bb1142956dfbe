/// Some ordered lists of slots, each slot in at most one of them: every operation takes constant time, however many
/// slots there are.
struct SlotLists: Sendable {
    private static let none: Int32 = -1

    private struct Link: Sendable {
        var previous = none
        var next = none
        var list = none
    }

    private struct Ends: Sendable {
        var first = none
        var last = none
    }

    private var links: [Link] = []
    private var ends: [Ends]

    init(count: Int) { ends = [Ends](repeating: Ends(), count: count) }

    var listCount: Int { ends.count }

    func first(in list: Int) -> Int32? { ends[list].first == Self.none ? nil : ends[list].first }
    func last(in list: Int) -> Int32? { ends[list].last == Self.none ? nil : ends[list].last }

    /// The slot behind, or before, this one in its list.
    func next(after slot: Int32) -> Int32? { links[Int(slot)].next == Self.none ? nil : links[Int(slot)].next }
    func previous(before slot: Int32) -> Int32? {
        links[Int(slot)].previous == Self.none ? nil : links[Int(slot)].previous
    }

    /// Puts the slot at the end of `list`, out of the list that it was in. It keeps its place if it is in that list.
    mutating func move(_ slot: Int32, to list: Int?) {
        while links.count <= Int(slot) { links.append(Link()) }
        let wanted = list.map(Int32.init) ?? Self.none
        let old = links[Int(slot)]
        guard old.list != wanted else { return }
        if old.list != Self.none { unlink(old) }
        links[Int(slot)] = Link()
        guard let list else { return }
        let last = ends[list].last
        links[Int(slot)] = Link(previous: last, next: Self.none, list: wanted)
        if last == Self.none { ends[list].first = slot } else { links[Int(last)].next = slot }
        ends[list].last = slot
    }

    /// The same by a list's number; -1 takes the slot out.
    mutating func move(_ slot: Int32, to list: Int16) { move(slot, to: list < 0 ? nil : Int(list)) }

    private mutating func unlink(_ link: Link) {
        if link.previous == Self.none {
            ends[Int(link.list)].first = link.next
        } else {
            links[Int(link.previous)].next = link.next
        }
        if link.next == Self.none {
            ends[Int(link.list)].last = link.previous
        } else {
            links[Int(link.next)].previous = link.previous
        }
    }
}
