public import Simulator

/// How the requests of a window were served. Latencies are those of finished requests, as in vLLM's benchmark.
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
    /// Every gap between two tokens of one request, pooled over all requests; absent of a window of a run with too many gaps
    /// to keep.
    public var interTokenLatency: Distribution?
    /// (Finish - first token) / (output tokens - 1), of requests with at least two output tokens.
    public var timePerOutputToken: Distribution?
    /// Finish - effective arrival.
    public var endToEnd: Distribution?
    /// Seconds from the first effective arrival to the last finish: what throughputs are per.
    public var duration: Double?

    /// Half the 95 % confidence intervals of means: of TTFT, TPOT and end-to-end latency in seconds, of output tokens per
    /// second; nil of too few requests.
    public var firstTokenInterval: Double?
    public var perOutputTokenInterval: Double?
    public var endToEndInterval: Double?
    public var outputThroughputInterval: Double?

    public init(_ log: ArmLog, trace: Trace, window: MetricsWindow = .whole) {
        let indices = window.requests(of: log)
        var firstTokens: [SimDuration] = []
        var queued: [SimDuration] = []
        var prefilled: [SimDuration] = []
        var perToken: [Double] = []
        var whole: [SimDuration] = []
        kvBlocks = log.kvCapacity
        for record in indices.lazy.map({ log.requests[$0] }) {
            if record.scheduled != nil { queriedTokens += trace.requests[record.index].promptTokens }
            cachedTokens += record.cachedTokens
            preemptions += record.preemptions
            recomputedTokens += record.recomputedTokens
            swappedBytes += record.swappedBytes
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
        let used = log.quanta.sums
        kvUtilisation = ratio(used.blockSeconds, used.servingSeconds * Double(kvBlocks))
        kvUtilisationPeak = used.servingSeconds > 0 ? ratio(Double(used.mostBlocks), Double(kvBlocks)) : nil
        held = used.held
        timeToFirstToken = Distribution(firstTokens)
        queueing = Distribution(queued)
        prefill = Distribution(prefilled)
        if window == .whole {
            interTokenLatency = Distribution(log.tokenGaps)
        } else if log.tokenGaps.isWhole {
            var isInside = [Bool](repeating: false, count: log.requests.count)
            for index in indices { isInside[index] = true }
            interTokenLatency = Distribution(log.tokenGaps.lazy.filter { isInside[Int($0.request)] }.map(\.gap))
        }
        timePerOutputToken = Distribution(nanoseconds: perToken)
        endToEnd = Distribution(whole)
        let start = indices.lazy.compactMap { log.requests[$0].effectiveArrival }.min()
        let end = indices.lazy.filter { log.requests[$0].outcome == .finished }.compactMap { log.requests[$0].finish }
            .max()
        if let start, let end, start < end { duration = (end - start).seconds }
        setIntervals(log, trace, indices)
    }

    private mutating func setIntervals(_ log: ArmLog, _ trace: Trace, _ indices: [Int]) {
        var finished: [(arrival: SimTime, first: SimTime, finish: SimTime, tokens: Int)] = []
        for index in indices where log.requests[index].outcome == .finished {
            let record = log.requests[index]
            guard let arrival = record.effectiveArrival, let first = record.firstToken, let finish = record.finish
            else { continue }
            finished.append((arrival, first, finish, trace.requests[index].outputTokens))
        }
        finished.sort { ($0.arrival, $0.finish) < ($1.arrival, $1.finish) }
        firstTokenInterval = BatchMeans.halfWidth(finished.map { ($0.first - $0.arrival).seconds })
        endToEndInterval = BatchMeans.halfWidth(finished.map { ($0.finish - $0.arrival).seconds })
        perOutputTokenInterval = BatchMeans.halfWidth(
            finished.filter { $0.tokens > 1 }.map { ($0.finish - $0.first).seconds / Double($0.tokens - 1) })
        outputThroughputInterval = BatchMeans.halfWidth(
            means: Self.batchThroughputs(finished.map { ($0.finish, $0.tokens) }))
    }

    /// Output tokens per second of each batch of requests, in order of their finishes: from one batch's last to the next's.
    private static func batchThroughputs(_ finished: [(finish: SimTime, tokens: Int)]) -> [Double] {
        let sorted = finished.sorted { ($0.finish, $0.tokens) < ($1.finish, $1.tokens) }
        // One more: the first batch is timed from the finish before it.
        let size = (sorted.count - 1) / BatchMeans.batches
        // Fewer finish by chance rather than at a rate.
        guard size >= 10 else { return [] }
        let first = sorted.count - size * BatchMeans.batches
        return (0..<BatchMeans.batches).compactMap { batch in
            let start = first + batch * size
            let time = sorted[start + size - 1].finish - sorted[start - 1].finish
            guard time > .zero else { return nil }
            return Double(sorted[start..<start + size].reduce(0) { $0 + $1.tokens }) / time.seconds
        }
    }

    /// Prompt tokens that the prefix cache had over all that it was asked for.
    public var prefixHitRate: Double? { ratio(Double(cachedTokens), Double(queriedTokens)) }

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
