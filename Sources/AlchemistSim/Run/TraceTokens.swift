internal import MeasuredBackend
internal import Simulator

/// Token ids of a trace's requests, kept once they have been asked for.
final class TraceTokens: TokenIDs {
    private let trace: Trace
    private let source: TokenSource
    private var known: [Int: [Int32]] = [:]

    /// - Parameter shift: the share of contexts in which made-up text differs from the default language.
    init(_ trace: Trace, vocabulary: Int, shift: Double = 0, seed: UInt64) {
        self.trace = trace
        var language = SyntheticLanguage.Parameters(vocabulary: vocabulary)
        language.shift = shift
        source = TokenSource(trace: trace, language: SyntheticLanguage(language), seed: seed)
    }

    func sequence(of request: Int) -> [Int32] {
        if let ids = known[request] { return ids }
        let ids = source.prompt(of: request) + source.output(of: request)
        known[request] = ids
        return ids
    }

    func answer(_ number: Int, to request: Int, tokens: Int) -> [Int32] {
        if case .given(let feedback) = trace.requests[request].feedback,
            let ids = feedback.otherAnswers[number - 1].ids
        {
            return ids
        }
        return source.alternative(to: request, number: number, count: tokens)
    }
}
