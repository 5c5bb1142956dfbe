internal import Glibc

/// What the conversations of a trace begin with, spread evenly: of each quantity, every one of as many equal shares of its
/// distribution as there are conversations is drawn from once, in an order from the seed.
///
/// Latin hypercube sampling (McKay, Beckman and Conover, 1979); the dependence of texts and answers is brought in by ranks
/// (Iman and Conover, 1982). So a trace of some hundred requests has the quantiles of its model, whatever the seed, while
/// its order stays as random as draws without putting back.
struct StratifiedScores {
    /// Standard normal scores, but for the number of turns, which is a share of its distribution.
    struct Member {
        var turns = 0.0
        var traits = ConversationTraits()
        var user = 0.0
        var answer = 0.0
    }

    private let members: [Member]

    /// - Parameters:
    ///   - count: how many conversations there can be.
    ///   - expected: how many there will be, about; so many are spread evenly at a time.
    ///   - correlation: of the scores of first texts and their answers.
    init(count: Int, expected: Int, correlation: Double, seed: UInt64) {
        var stream = RandomStream(seed: seed, name: "strata")
        var members = Array(repeating: Member(), count: count)
        for start in stride(from: 0, to: count, by: expected) {
            // Whole parts, also at the end, where some of the last are never reached.
            let users = (0..<expected).map { _ in stream.normal() }
            let answers = users.map {
                correlation * $0 + (1 - correlation * correlation).squareRoot() * stream.normal()
            }
            let columns = [users, answers].map { Self.spread($0, &stream) }
            let others = (0..<3).map { _ in Self.spread((0..<expected).map { _ in stream.uniform() }, &stream) }
            for index in start..<min(start + expected, count) {
                let place = index - start
                members[index] = Member(
                    turns: others[0][place],
                    traits: ConversationTraits(
                        user: Self.score(others[1][place]), answer: Self.score(others[2][place])),
                    user: Self.score(columns[0][place]), answer: Self.score(columns[1][place]))
            }
        }
        self.members = members
    }

    subscript(_ member: Int) -> Member { members[member] }

    /// Shares of a distribution in the order of these values: one from each of as many equal parts.
    private static func spread(_ values: [Double], _ stream: inout RandomStream) -> [Double] {
        var shares = values
        let order = values.indices.sorted { values[$0] < values[$1] }
        for (rank, index) in order.enumerated() {
            shares[index] = (Double(rank) + stream.uniform()) / Double(values.count)
        }
        return shares
    }

    /// The standard normal score that this share of the distribution lies below: the approximation of Abramowitz and
    /// Stegun (26.2.23), made exact by Newton's steps.
    static func score(_ share: Double) -> Double {
        let share = min(max(share, 0x1p-60), 1 - 0x1p-53)
        let tail = min(share, 1 - share)
        let t = (-2 * log(tail)).squareRoot()
        let distance =
            t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308)))
        var score = share < 0.5 ? -distance : distance
        for _ in 0..<3 {
            let error = 0.5 * erfc(-score / 2.0.squareRoot()) - share
            score -= error * (2 * Double.pi).squareRoot() * exp(score * score / 2)
        }
        return score
    }
}
