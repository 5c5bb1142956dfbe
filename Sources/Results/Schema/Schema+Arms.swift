internal import Simulator

/// A sample's audit at one layer.
struct SampleAuditRow {
    var step: Int
    var sample: SampleAudit
    var layer: Int
    var distance: GradientDistance
}

/// The tables below `/arms/NAME/repeat_NNN`.
extension Schema {
    /// - Parameter counted: by index in the trace, whether figures of serving are drawn from the request.
    static func requestColumns(counted: [Bool]) -> [Column<RequestRecord>] {
        [
            .count("index", "row of /trace", \.index),
            .code("outcome", "what became of it", RequestRecord.Outcome.allCases.map(\.rawValue)) { record in
                RequestRecord.Outcome.allCases.firstIndex(of: record.outcome) ?? -1
            },
            .code("in_window", "whether it lies in the window of serving's figures", ["no", "yes"]) {
                counted[$0.index] ? 1 : 0
            },
            .time(
                ifAny: "effective_arrival", "max(arrival, end of the previous turn + think time)", \.effectiveArrival),
            .time(ifAny: "scheduled", "start of the first iteration that works on it", \.scheduled),
            .time(ifAny: "first_token", "when its first output token is there", \.firstToken),
            .time(ifAny: "finish", "when its last output token is there", \.finish),
            .tokens(
                "cached_tokens", "prompt tokens that the prefix cache had when it was admitted first", \.cachedTokens),
            .count("preemptions", "times that it gave its KV blocks up to others", \.preemptions),
            .tokens(
                "recomputed_tokens", "tokens in the KV cache that were lost by that and had to be computed again",
                \.recomputedTokens),
            .bytes("swapped_bytes", "bytes of its KV blocks copied to the host and back", \.swappedBytes),
            .tokens(
                "recorded_tokens", "tokens whose record was made and not given up for want of room", \.recordedTokens),
            .tokens(
                "linked_tokens", "tokens found in the prefix cache whose record, made for others, it shares",
                \.linkedTokens),
            .tokens("dropped_tokens", "tokens whose record could not be made or kept for want of room") {
                $0.lost.dropped
            },
        ]
            + LossReason.allCases.map { reason in
                .tokens("lost_" + reason.name, reason.description) { $0.lost[reason] }
            }
    }

    static var tokenGapColumns: [Column<TokenGap>] {
        [
            .index("request", "row of /trace", \.request),
            .duration("gap", "time between two tokens of the request that follow each other", \.gap),
        ]
    }

    /// - Parameter firstCost: the row of `/costs` that the log's first shape has; nil if its shapes were not kept.
    static func quantumColumns(firstCost: Int?) -> [Column<QuantumRecord>] {
        [
            .code("kind", "who ran", QuantumRecord.Kind.allCases.map(\.name)) { $0.kind.rawValue },
            .time("start", "when the quantum took the compute stream", \.start),
            .duration("duration", "how long it held it", \.duration),
            .duration("predicted", "what the backend had estimated before", \.predicted),
            .tokens("prefill_tokens", "tokens prefilled, those computed again included", \.prefillTokens),
            .tokens("decode_tokens", "sequences decoded by one token each", \.decodeTokens),
            .tokens("recorded_tokens", "tokens whose activations were recorded", \.recordedTokens),
            .duration("held", "how long it was held back until records had made room", \.held),
            .integer(ifAny: "shape", .one, "row of /costs") { quantum in firstCost.map { Int64($0 + quantum.shape) } },
            .count("version", "version of the weights used", \.version),
            .count("waiting", "requests waiting for admission at its start", \.waiting),
            .count("kv_blocks", "KV blocks that requests and records hold while it runs", \.kvBlocks),
            .count("cached_blocks", "KV blocks that only the prefix cache holds", \.cachedBlocks),
            .duration(ifAny: "probe", "how long a fixed piece of work took beside it", \.probe),
        ]
    }

    static var unitColumns: [Column<UnitRecord>] {
        [
            .count("quantum", "row of iterations", \.quantum),
            .code("phase", "what the unit is of", TrainerPhase.allCases.map(\.name)) { unit in
                TrainerPhase.allCases.firstIndex(of: unit.phase) ?? -1
            },
            .duration("duration", "how long it took", \.duration),
        ]
    }

    static var stepColumns: [Column<StepRecord>] {
        [
            .count("version", "version of the weights that the gradient was taken at", \.version),
            .time("start", "start of the step's first quantum", \.start),
            .time("end", "when the new weights are there", \.end),
            .time(ifAny: "published", "when serving can read them", \.published),
            .time(ifAny: "first_served", "end of the first iteration that made a token with them", \.firstServed),
            .count("samples", "samples of the step", \.samples),
            .count("micro_batches", "forward and backward passes", \.microBatches),
            .code("objective", "what was learned from", Feedback.Kind.allCases.map(\.rawValue)) { step in
                Feedback.Kind.allCases.firstIndex(of: step.objective) ?? -1
            },
            .tokens("tokens", "tokens learned from: of each answer, its prompt included", \.tokens),
            .tokens("shared_tokens", "prompt tokens that did not run again for a further answer", \.sharedTokens),
            .tokens("reused_tokens", "those whose forward pass was skipped", \.reusedTokens),
            .tokens("loss_tokens", "tokens that carry loss", \.lossTokens),
            .tokens("stale_tokens", "recorded tokens too stale to be used", \.staleTokens),
            .real(ifAny: "loss", .nats, "mean loss over the loss tokens, or over the pairs", \.loss),
            .real(ifAny: "gradient_norm", .one, "global norm of the gradient before clipping", \.gradientNorm),
            .duration("forward_time", "forward passes below the head", \.time.forward),
            .duration("reference_time", "the reference model's forward passes and scores", \.time.reference),
            .duration("loss_time", "head and loss, forward and backward", \.time.loss),
            .duration("recompute_time", "forward work done again before the backward passes", \.time.recompute),
            .duration("backward_time", "backward passes below the head", \.time.backward),
            .duration("optimizer_time", "clipping and the optimizer", \.time.optimizer),
            .duration("publish_time", "waiting for the last weights to reach the server", \.time.publish),
            .duration("stall_time", "time in which the trainer could have run but for a reload", \.stall),
            .count("oldest_age", "highest age of a used record in versions", \.oldestAge),
            .real("mean_age", .one, "mean age of the used records in versions", \.meanAge),
            .real(ifAny: "gradient_rounding_error", .one, "against recomputing at the records' weights, rounded alike")
            {
                $0.audit?.roundingError
            },
            .real(ifAny: "gradient_precision_error", .one, "the same with nothing rounded") {
                $0.audit?.precisionError
            },
            .real(ifAny: "gradient_precision_cosine", .one, "cosine with the gradient of that") {
                $0.audit?.precisionCosine
            },
            .real(ifAny: "gradient_staleness_error", .one, "against recomputing at the step's weights") {
                $0.audit?.stalenessError
            },
            .real(ifAny: "gradient_staleness_cosine", .one, "cosine with the gradient recomputed at the step's weights")
            { $0.audit?.stalenessCosine },
        ]
    }

    /// One row per sample of a step, in order.
    static var learnedColumns: [Column<(step: Int, sample: LearnedSample)>] {
        [
            .count("step", "row of training", \.step),
            .count("request", "row of /trace", \.sample.request),
            .time("ready", "when its feedback came", \.sample.ready),
            .tokens("tokens", "of all its answers, each with the prompt before it", \.sample.tokens),
            .tokens("reused_tokens", "those whose forward pass was skipped", \.sample.reusedTokens),
        ]
    }

    /// One row per version of which held-out losses were taken: the learning curve.
    static var evaluationColumns: [Column<EvaluationRecord>] {
        [
            .count("version", "version of the weights", \.version),
            .time("time", "when they were made", \.time),
            .tokens("trained_tokens", "tokens that were learned from to make them", \.trainedTokens),
            .real("loss_base", .nats, "mean loss on held-out texts of the base's language", \.loss.base),
            .real("loss_shifted", .nats, "mean loss on held-out texts of the shifted language", \.loss.shifted),
        ]
    }

    /// One row per audited sample and layer, and one for all of its gradient.
    static var sampleAuditColumns: [Column<SampleAuditRow>] {
        [
            .count("step", "row of training", \.step),
            .count("request", "row of /trace", \.sample.request),
            .count("age", "age of the oldest part of its records in versions", \.sample.age),
            .tokens("reused_tokens", "its tokens whose forward pass was skipped", \.sample.reusedTokens),
            .tokens("tokens", "its tokens that ran", \.sample.tokens),
            .count("layer", "layer of the model; -1 for the whole gradient", \.layer),
            .real("error", .one, "|difference| / |gradient recomputed at the step's weights|", \.distance.error),
            .real("cosine", .one, "cosine between the two", \.distance.cosine),
        ]
    }

    static func sampleAudits(of log: ArmLog) -> [SampleAuditRow] {
        log.steps.enumerated().flatMap { step, record in
            (record.audit?.samples ?? []).flatMap { sample in
                [SampleAuditRow(step: step, sample: sample, layer: -1, distance: sample.whole)]
                    + sample.layers.enumerated().map { layer, distance in
                        SampleAuditRow(step: step, sample: sample, layer: layer, distance: distance)
                    }
            }
        }
    }

    static var transferColumns: [Column<TransferRecord>] {
        [
            .code("direction", "which way over the host link", TransferDirection.allCases.map(\.name)) {
                $0.direction.rawValue
            },
            .time("queued", "when it was asked for", \.queued),
            .time("start", "when the copy engine took it up", \.start),
            .time("end", "when it was done", \.end),
            .bytes("bytes", "bytes copied", \.bytes),
            .index("request", "row of /trace, of its first piece", \.request),
            .index(
                "layer",
                "its lowest layer, the final norm's input after the last one; -1 for all K and V of a swapped request",
                \.layer),
            .index("pieces", "pieces that it moves: layers of chunks", \.pieces),
        ]
    }

    /// One row per window of time: its number, and bytes by reason.
    static func lossColumns(width: SimDuration) -> [Column<(index: Int, bytes: [Int])>] {
        [
            .time("start", "start of a window of time; all are equally wide") {
                SimTime(nanoseconds: Int64($0.index) * width.nanoseconds)
            }
        ]
            + LossReason.allCases.filter(\.isOfRecords).map { reason in
                .bytes(reason.name, "bytes of records lost in the window: " + reason.description) {
                    Bytes($0.bytes[reason.rawValue])
                }
            }
    }

    /// One row per owner of memory.
    static func peakColumns(of memory: MemoryRecord) -> [Column<MemoryOwner>] {
        [
            .text("owner", "what the bytes are for", \.name),
            .bytes("device", "highest level of this owner on the device") {
                memory.device.peakByOwner[$0.rawValue]
            },
            .bytes("host", "highest level of this owner on the host") { memory.host.peakByOwner[$0.rawValue] },
            .bytes("trainer_device", "highest level of this owner on the trainer's own device") {
                memory.trainerDevice.peakByOwner[$0.rawValue]
            },
        ]
    }

    /// One row per bucket of time: its number and every owner's highest level in it.
    static func seriesColumns(width: SimDuration) -> [Column<(bucket: Int, levels: [Int])>] {
        [
            .time("start", "start of a bucket of time; all are equally wide") {
                SimTime(nanoseconds: Int64($0.bucket) * width.nanoseconds)
            }
        ]
            + MemoryOwner.allCases.map { owner in
                .bytes(owner.name, "highest level of \(owner.name) in the bucket") { Bytes($0.levels[owner.rawValue]) }
            }
    }
}

extension LossReason {
    /// What the column of tokens lost for this reason says.
    var description: String {
        switch self {
        case .deviceFull: "tokens not recorded, or given up, because the device was full"
        case .link: "the same, while copies to the host were queued that would have made room"
        case .hostFull: "recorded tokens given up on the device because the host had no room for them"
        case .evicted: "recorded tokens that the host gave up for newer ones"
        case .expired: "recorded tokens thrown away because no feedback came in time"
        case .stale: "recorded tokens made by weights too old to be used"
        case .edited: "recorded tokens of answers that the user edited"
        case .unlinked: "tokens that the prefix cache had, without a record to share"
        case .paused: "tokens not recorded because requests waited"
        }
    }
}
