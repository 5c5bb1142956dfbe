/// What is learned from feedback.
public enum Objective: String, Sendable, CaseIterable {
    /// What each feedback is.
    case trace
    /// Supervised fine-tuning on the answer served or an edited one; of a pair on the chosen answer, of a group on the one
    /// with the greatest weight.
    case sft
    /// Direct preference optimisation on pairs; an edited answer is preferred to the one served.
    case dpo
    /// A policy gradient over weighted groups.
    case group

    /// The kind that requests of which the trace says nothing get feedback of.
    public var kind: Feedback.Kind {
        switch self {
        case .trace, .sft: .sft
        case .dpo: .dpo
        case .group: .group
        }
    }

    /// The answers that feedback on an answer of `served` tokens has one learn from, and how; `nil` where the feedback
    /// does not say what this objective needs. Answers of weight 0 teach nothing and are left out.
    public func lesson(
        of signal: Feedback.Signal, served: Int
    ) -> (kind: Feedback.Kind, answers: [Sample.Answer])? {
        func pair(_ chosen: Sample.Answer, _ rejected: Sample.Answer) -> [Sample.Answer] {
            var pair = [chosen, rejected]
            pair[1].weight = -1
            return pair
        }
        let own = Sample.Answer(number: 0, tokens: served)
        switch (self, signal) {
        case (.trace, .sft(let edited)), (.sft, .sft(let edited)):
            return (.sft, [edited.map { Sample.Answer(number: 1, tokens: $0.count) } ?? own])
        case (.sft, .dpo(.chosen(let answer))): return (.sft, [Sample.Answer(number: 1, tokens: answer.count)])
        case (.sft, .dpo(.rejected)): return (.sft, [own])
        case (.trace, .dpo(.chosen(let answer))), (.dpo, .dpo(.chosen(let answer))):
            return (.dpo, pair(Sample.Answer(number: 1, tokens: answer.count), own))
        case (.trace, .dpo(.rejected(let answer))), (.dpo, .dpo(.rejected(let answer))):
            return (.dpo, pair(own, Sample.Answer(number: 1, tokens: answer.count)))
        case (.dpo, .sft(let edited)):
            return edited.map { (.dpo, pair(Sample.Answer(number: 1, tokens: $0.count), own)) }
        case (.sft, .group(let weight, let others)):
            // The first of equal ones.
            let best = Self.group(own, weight, others).reduce(nil as Sample.Answer?) { best, answer in
                best.map { answer.weight > $0.weight ? answer : $0 } ?? answer
            }
            return best.map { (.sft, [Sample.Answer(number: $0.number, tokens: $0.tokens)]) }
        case (.trace, .group(let weight, let others)), (.group, .group(let weight, let others)):
            return (.group, Self.group(own, weight, others).filter { Float($0.weight) != 0 })
        case (.dpo, .group), (.group, .sft), (.group, .dpo): return nil
        }
    }

    private static func group(
        _ own: Sample.Answer, _ weight: Double, _ others: [Feedback.Completion]
    ) -> [Sample.Answer] {
        [Sample.Answer(number: 0, tokens: own.tokens, weight: weight)]
            + others.enumerated().map { index, other in
                Sample.Answer(number: index + 1, tokens: other.answer.count, weight: other.weight)
            }
    }
}
