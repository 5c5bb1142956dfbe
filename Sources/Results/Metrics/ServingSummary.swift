public import Simulator

/// How requests were served. Latencies are those of finished requests, as in vLLM's benchmark.
public struct ServingSummary: Sendable, Equatable {
    public var finished = 0
    public var refused = 0
    public var unfinished = 0
    /// Prompt and output tokens of finished requests.
    public var promptTokens = 0
    public var outputTokens = 0
    /// Tokens, of all requests, whose record was made and kept as long as there was room.
    public var recordedTokens = 0
    /// Tokens without a record that was used, by the order of `LossReason.allCases`.
    public var lostTokens = [Int](repeating: 0, count: LossReason.allCases.count)
    /// Time in which iterations were held back until records had made room.
    public var held = SimDuration.zero
    /// First token - effective arrival.
    public var timeToFirstToken: Distribution?
    /// Its part before the first iteration that works on the request.
    public var queueing: Distribution?
    /// Its part from there on.
    public var prefill: Distribution?
    /// Every gap between two tokens of one request, pooled over all requests.
    public var interTokenLatency: Distribution?
    /// (Finish - first token) / (output tokens - 1), of requests with at least two output tokens.
    public var timePerOutputToken: Distribution?
    /// Finish - effective arrival.
    public var endToEnd: Distribution?
    /// Seconds from the first effective arrival to the last finish: what throughputs are per.
    public var duration: Double?

    public init(_ log: ArmLog, trace: Trace) {
        var firstTokens: [SimDuration] = []
        var queued: [SimDuration] = []
        var prefilled: [SimDuration] = []
        var perToken: [Double] = []
        var whole: [SimDuration] = []
        for record in log.requests {
            recordedTokens += record.recordedTokens
            for reason in LossReason.allCases { lostTokens[reason.rawValue] += record.lost[reason] }
            switch record.outcome {
            case .refused: refused += 1
            case .unfinished: unfinished += 1
            case .finished:
                finished += 1
                let request = trace.requests[record.index]
                promptTokens += request.promptTokens
                outputTokens += request.outputTokens
                guard let arrival = record.effectiveArrival, let first = record.firstToken, let finish = record.finish
                else { continue }
                firstTokens.append(first - arrival)
                whole.append(finish - arrival)
                if let scheduled = record.scheduled {
                    queued.append(scheduled - arrival)
                    prefilled.append(first - scheduled)
                }
                if request.outputTokens > 1 {
                    perToken.append(Double((finish - first).nanoseconds) / Double(request.outputTokens - 1))
                }
            }
        }
        for quantum in log.quanta { held += quantum.held }
        timeToFirstToken = Distribution(firstTokens)
        queueing = Distribution(queued)
        prefill = Distribution(prefilled)
        interTokenLatency = Distribution(log.tokenGaps.lazy.map(\.gap))
        timePerOutputToken = Distribution(nanoseconds: perToken)
        endToEnd = Distribution(whole)
        let start = log.requests.lazy.compactMap(\.effectiveArrival).min()
        let end = log.requests.lazy.filter { $0.outcome == .finished }.compactMap(\.finish).max()
        if let start, let end, start < end { duration = (end - start).seconds }
    }

    /// Those that could not be recorded or kept for want of memory or of the link's bandwidth.
    public var droppedTokens: Int {
        LossReason.allCases.reduce(0) { $0 + ($1.isWant ? lostTokens[$1.rawValue] : 0) }
    }

    /// Finished requests per second.
    public var requestThroughput: Double? { ratio(Double(finished), duration) }
    /// Output tokens of finished requests per second.
    public var outputThroughput: Double? { ratio(Double(outputTokens), duration) }
    /// Prompt and output tokens of finished requests per second.
    public var totalThroughput: Double? { ratio(Double(promptTokens + outputTokens), duration) }
}
