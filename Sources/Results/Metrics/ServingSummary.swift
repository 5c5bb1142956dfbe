public import Simulator

/// How requests were served. Latencies are those of finished requests, as in vLLM's benchmark.
public struct ServingSummary: Sendable, Equatable {
    public var finished = 0
    public var refused = 0
    public var unfinished = 0
    /// Prompt and output tokens of finished requests.
    public var promptTokens = 0
    public var outputTokens = 0
    /// Prompt tokens, of all requests, whose record was made, and those whose record could not be made or kept.
    public var recordedTokens = 0
    public var droppedTokens = 0
    /// Prompt tokens of admitted requests, and those of them that the prefix cache had.
    public var queriedTokens = 0
    public var cachedTokens = 0
    /// Times that requests gave their KV blocks up, tokens that were lost by it, and bytes copied to the host and back.
    public var preemptions = 0
    public var recomputedTokens = 0
    public var swappedBytes = Bytes.zero
    /// Most KV blocks that can exist, and the share of them that requests and records hold: the mean over the time of
    /// serving iterations, and the highest.
    public var kvBlocks: Int
    public var kvUtilisation: Double?
    public var kvUtilisationPeak: Double?
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
        kvBlocks = log.kvCapacity
        for record in log.requests {
            if record.scheduled != nil { queriedTokens += trace.requests[record.index].promptTokens }
            cachedTokens += record.cachedTokens
            preemptions += record.preemptions
            recomputedTokens += record.recomputedTokens
            swappedBytes += record.swappedBytes
            recordedTokens += record.recordedTokens
            droppedTokens += record.droppedTokens
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
        var used = (seconds: 0.0, weighted: 0.0, most: 0)
        for quantum in log.quanta where quantum.kind == .serve {
            used.seconds += quantum.duration.seconds
            used.weighted += quantum.duration.seconds * Double(quantum.kvBlocks)
            used.most = max(used.most, quantum.kvBlocks)
        }
        kvUtilisation = ratio(used.weighted, used.seconds * Double(kvBlocks))
        kvUtilisationPeak = used.seconds > 0 ? ratio(Double(used.most), Double(kvBlocks)) : nil
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

    /// Prompt tokens that the prefix cache had over all that it was asked for.
    public var prefixHitRate: Double? { ratio(Double(cachedTokens), Double(queriedTokens)) }

    /// Finished requests per second.
    public var requestThroughput: Double? { ratio(Double(finished), duration) }
    /// Output tokens of finished requests per second.
    public var outputThroughput: Double? { ratio(Double(outputTokens), duration) }
    /// Prompt and output tokens of finished requests per second.
    public var totalThroughput: Double? { ratio(Double(promptTokens + outputTokens), duration) }
}
