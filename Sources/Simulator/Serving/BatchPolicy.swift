/// Which work an iteration takes up: its kinds in order, and whether they mix.
public enum BatchPolicy: String, Sendable, CaseIterable {
    /// Every running sequence decodes; prompts get what is left of the token budget, in chunks (Sarathi-Serve).
    case chunked
    /// Prompts come first and by themselves; sequences decode in iterations without prompts (Orca, vLLM's first engine).
    case prefillFirst = "prefill_first"
    /// Sequences decode to their end before the next prompts are taken up (FasterTransformer).
    case decodeFirst = "decode_first"

    enum Work: Sendable {
        case decode, prefill
    }

    /// The kinds of work in the order in which they get tokens.
    var order: (first: Work, second: Work) {
        switch self {
        case .chunked, .decodeFirst: (.decode, .prefill)
        case .prefillFirst: (.prefill, .decode)
        }
    }

    /// Whether the second kind joins an iteration in which the first has found work.
    var mixes: Bool { self == .chunked }
}

/// Who is admitted next, and who gives way last.
public enum AdmissionPolicy: String, Sendable, CaseIterable {
    /// First come, first served.
    case fcfs
    /// By the trace's `priority`, lower first; first come, first served among equals.
    case priority

    /// The place of a request that was the `arrival`-th to come.
    func rank(priority: Int, arrival: Int) -> Rank {
        Rank(priority: self == .priority ? priority : 0, arrival: arrival)
    }
}

/// A sequence's place among all: the lower comes first.
struct Rank: Sendable, Comparable {
    var priority: Int
    var arrival: Int

    static func < (a: Rank, b: Rank) -> Bool {
        a.priority != b.priority ? a.priority < b.priority : a.arrival < b.arrival
    }
}

/// How a sequence gives its blocks up when another needs them.
public enum PreemptionPolicy: String, Sendable, CaseIterable {
    /// The blocks are freed; prompt and generated tokens are prefilled again.
    case recompute
    /// The blocks are copied to the host, and back before the sequence goes on. Where the host has no room: recompute.
    case swap
}
