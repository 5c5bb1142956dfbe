public import Simulator

extension Schema {
    /// `/trace`: the requests that every arm was given.
    static var traceColumns: [Column<Request>] {
        [
            .text("id", "the request's name, unique in the trace", \.id),
            .time("arrival", "when the client sends it, from the start of the trace", \.arrival),
            .tokens("prompt_tokens", "the whole prompt, the conversation's history included", \.promptTokens),
            .tokens("output_tokens", "tokens of the answer", \.outputTokens),
            .text(ifAny: "conversation", "the conversation that the request is a turn of", \.conversation),
            .count("turn", "its place in the conversation, from 0", \.turn),
            .integer(ifAny: "previous_turn", .one, "row of the previous turn of the same conversation") {
                $0.previousTurn.map(Int64.init)
            },
            .duration("think_time", "least time between the end of the previous turn and sending this", \.thinkTime),
            .code(
                "feedback", "whether the trace states the user's feedback on the answer",
                ["unstated", "none", "given"]
            ) { request in
                switch request.feedback {
                case .unstated: 0
                case .none: 1
                case .given: 2
                }
            },
            .duration(ifAny: "feedback_delay", "stated time from the end of the answer to its feedback") {
                $0.feedback.stated?.delay
            },
            .text(ifAny: "feedback_kind", "how the stated feedback is learnt from") {
                $0.feedback.stated?.kind.rawValue
            },
        ]
    }

    /// `/costs`: the distinct plan shapes of every arm and repeat with what executing them cost.
    static var costColumns: [Column<CostRow>] {
        [
            .text("arm", "the arm that executed the plans", \.arm),
            .count("repeat", "the repeat of that arm, from 0", \.repeatIndex),
            .text("key", "the shape: plans with equal text do equal work", \.shape.key),
            .code("kind", "who ran", QuantumRecord.Kind.allCases.map(\.name)) { $0.shape.kind.rawValue },
            .count("count", "plans executed", \.shape.count),
            .duration("total", "sum of their durations", \.shape.total),
            .duration("shortest", "shortest of them", \.shape.shortest),
            .duration("longest", "longest of them", \.shape.longest),
        ]
    }
}

/// One row of `/costs`: the replay table.
public struct CostRow: Sendable {
    public var arm: String
    public var repeatIndex: Int
    public var shape: PlanShapeRecord

    public init(arm: String, repeatIndex: Int, shape: PlanShapeRecord) {
        self.arm = arm
        self.repeatIndex = repeatIndex
        self.shape = shape
    }
}

extension FeedbackEntry {
    fileprivate var stated: Feedback? {
        if case .given(let feedback) = self { feedback } else { nil }
    }
}
