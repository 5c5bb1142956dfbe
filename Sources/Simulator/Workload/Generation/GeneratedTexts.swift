/// The token ids of a generated trace, from one language or, with a shift, from two.
struct GeneratedTexts {
    private let first: TokenSource
    private let second: TokenSource
    /// Whether a request's conversation began after the shift.
    private let isShifted: [Bool]

    init(_ trace: Trace, _ options: TraceGeneratorOptions) {
        first = TokenSource(trace: trace, language: SyntheticLanguage(options.language), seed: options.seed)
        guard let shift = options.languageShift else {
            second = first
            isShifted = trace.requests.map { _ in false }
            return
        }
        var language = options.language
        language.shift = shift.share
        second = TokenSource(trace: trace, language: SyntheticLanguage(language), seed: options.seed)
        let start = shift.start * Double(trace.requests.count)
        var isShifted: [Bool] = []
        for (index, request) in trace.requests.enumerated() {
            isShifted.append(request.previousTurn.map { isShifted[$0] } ?? (Double(index) >= start))
        }
        self.isShifted = isShifted
    }

    private func source(of index: Int) -> TokenSource { isShifted[index] ? second : first }

    /// Another answer to the same prompt.
    func alternative(to index: Int, number: Int, count: Int) -> [Int32] {
        source(of: index).alternative(to: index, number: number, count: count)
    }

    /// Gives every request its ids, which say what prefixes said.
    func addIDs(to trace: inout Trace) {
        for index in trace.requests.indices {
            trace.requests[index].prompt = source(of: index).prompt(of: index)
            trace.requests[index].output = source(of: index).output(of: index)
            trace.requests[index].prefix = nil
        }
    }
}
