internal import Simulator

extension ArmSummary {
    /// Every metric of an arm, in the order in which files and documentation list them.
    ///
    /// No name ends in `_min` or `_max`: these mark the extremes over repeats.
    public static let metrics: [Metric<ArmSummary>] =
        requestMetrics + cacheMetrics + recordingMetrics + latencyMetrics + throughputMetrics + memoryMetrics
        + ownerMetrics + trainingMetrics + auditMetrics

    private static let requestMetrics: [Metric<ArmSummary>] = [
        Metric("requests_finished", .one, "requests that finished") { Double($0.serving.finished) },
        Metric("requests_refused", .one, "requests that can not fit and were never admitted") {
            Double($0.serving.refused)
        },
        Metric("requests_unfinished", .one, "requests still waiting or running at the end of an interrupted run") {
            Double($0.serving.unfinished)
        },
        Metric("prompt_tokens", .tokens, "prompt tokens of finished requests") { Double($0.serving.promptTokens) },
        Metric("output_tokens", .tokens, "output tokens of finished requests") { Double($0.serving.outputTokens) },
    ]

    private static let cacheMetrics: [Metric<ArmSummary>] = [
        Metric("prefix_cache_hit_tokens", .tokens, "prompt tokens that the prefix cache had at the first admission") {
            Double($0.serving.cachedTokens)
        },
        Metric("prefix_cache_hit_rate", .one, "hit tokens / prompt tokens of admitted requests") {
            $0.serving.prefixHitRate
        },
        Metric("preemptions", .one, "times that requests gave their KV blocks up to others") {
            Double($0.serving.preemptions)
        },
        Metric("recomputed_tokens", .tokens, "tokens in the KV cache that preemptions lost") {
            Double($0.serving.recomputedTokens)
        },
        Metric("swapped_bytes", .bytes, "bytes of KV blocks that preemptions copied to the host and back") {
            Double($0.serving.swappedBytes.count)
        },
        Metric("kv_blocks", .one, "most KV blocks that can exist at a time") { Double($0.serving.kvBlocks) },
        Metric("kv_utilisation_mean", .one, "KV blocks held / KV blocks, over the time of serving iterations") {
            $0.serving.kvUtilisation
        },
        Metric("kv_utilisation_peak", .one, "highest share of the KV blocks held in a serving iteration") {
            $0.serving.kvUtilisationPeak
        },
    ]

    private static let recordingMetrics: [Metric<ArmSummary>] =
        [
            Metric("recorded_tokens", .tokens, "tokens whose record was made and not given up for want of room") {
                Double($0.serving.recordedTokens)
            },
            Metric("linked_tokens", .tokens, "tokens found in the prefix cache whose record was made for others") {
                Double($0.serving.linkedTokens)
            },
            Metric("dropped_tokens", .tokens, "tokens whose record could not be made or kept for want of room") {
                Double($0.serving.droppedTokens)
            },
        ]
        + LossReason.allCases.map { reason in
            Metric("lost_tokens_" + reason.name, .tokens, reason.description) {
                Double($0.serving.lostTokens[reason.rawValue])
            }
        } + [
            Metric("dropped_bytes", .bytes, "bytes of the records that could not be made or kept for want of room") {
                Double($0.recording.droppedBytes.count)
            },
            Metric("hedged_bytes", .bytes, "bytes on the host whose device copy spared training their reload") {
                Double($0.recording.hedgedBytes.count)
            },
            Metric("serving_stall_seconds", .seconds, "time in which iterations were held back until records made room")
            {
                $0.serving.held.seconds
            },
            Metric(
                "admission_stall_seconds", .seconds,
                "time in which the next request in line would have fitted but for device memory that records held"
            ) { $0.recording.admissionStall.seconds },
        ]

    private static let latencyMetrics: [Metric<ArmSummary>] =
        distribution("ttft", "first token - effective arrival, finished requests", \.timeToFirstToken)
        + distribution("ttft_queueing", "start of the first iteration - effective arrival", \.queueing)
        + distribution("ttft_prefill", "first token - start of the first iteration", \.prefill)
        + distribution("itl", "every gap between two tokens of one request, pooled", \.interTokenLatency)
        + distribution("tpot", "(finish - first token) / (output tokens - 1)", \.timePerOutputToken)
        + distribution("e2e", "finish - effective arrival, finished requests", \.endToEnd)
        + intervalMetrics

    private static let intervalMetrics: [Metric<ArmSummary>] = [
        Metric("ttft_mean_ci", .seconds, "half the 95 % confidence interval of ttft_mean, by batch means") {
            $0.serving.firstTokenInterval
        },
        Metric("tpot_mean_ci", .seconds, "half the 95 % confidence interval of tpot_mean, by batch means") {
            $0.serving.perOutputTokenInterval
        },
        Metric("e2e_mean_ci", .seconds, "half the 95 % confidence interval of e2e_mean, by batch means") {
            $0.serving.endToEndInterval
        },
        Metric("output_throughput_ci", .tokensPerSecond, "half the 95 % confidence interval of the output throughput") {
            $0.serving.outputThroughputInterval
        },
    ]

    private static func distribution(
        _ name: String, _ definition: String, _ distribution: @escaping @Sendable (ServingSummary) -> Distribution?
    ) -> [Metric<ArmSummary>] {
        [
            Metric(name + "_mean", .seconds, "mean of: " + definition) { distribution($0.serving)?.mean },
            Metric(name + "_p50", .seconds, "median of: " + definition) { distribution($0.serving)?.p50 },
            Metric(name + "_p90", .seconds, "90th percentile of: " + definition) { distribution($0.serving)?.p90 },
            Metric(name + "_p99", .seconds, "99th percentile of: " + definition) { distribution($0.serving)?.p99 },
        ]
    }

    private static let throughputMetrics: [Metric<ArmSummary>] = [
        Metric("serving_duration", .seconds, "last finish - first effective arrival") { $0.serving.duration },
        Metric("request_throughput", .perSecond, "finished requests / serving duration") {
            $0.serving.requestThroughput
        },
        Metric("output_throughput", .tokensPerSecond, "output tokens of finished requests / serving duration") {
            $0.serving.outputThroughput
        },
        Metric("total_token_throughput", .tokensPerSecond, "prompt and output tokens / serving duration") {
            $0.serving.totalThroughput
        },
        Metric("wall_seconds", .seconds, "virtual time from 0 to the end of the last quantum") { $0.wallSeconds },
    ]

    private static let memoryMetrics: [Metric<ArmSummary>] = [
        Metric("device_peak_bytes", .bytes, "highest sum over all owners on the device") {
            Double($0.memory.device.count)
        },
        Metric("host_peak_bytes", .bytes, "highest sum over all owners on the host") {
            Double($0.memory.host.count)
        },
        Metric("trainer_device_peak_bytes", .bytes, "highest sum over all owners on the trainer's own device") {
            Double($0.memory.trainerDevice.count)
        },
        Metric("training_peak_bytes", .bytes, "highest sum of training memory over both devices") {
            Double($0.memory.training.count)
        },
        Metric("transfer_bytes_to_host", .bytes, "bytes copied from the device to the host") {
            Double($0.bytesToHost.count)
        },
        Metric("transfer_bytes_to_device", .bytes, "bytes copied from the host to the device") {
            Double($0.bytesToDevice.count)
        },
    ]

    private static let ownerMetrics: [Metric<ArmSummary>] = MemoryTier.allCases.flatMap { tier in
        MemoryOwner.allCases.map { owner -> Metric<ArmSummary> in
            let name = "\(tier.name)_peak_bytes_\(owner.name)"
            return Metric(name, .bytes, "highest level of \(owner.name) on the \(tier.name)") {
                Double($0.memory.peak(of: owner, on: tier).count)
            }
        }
    }

    private static let trainingMetrics: [Metric<ArmSummary>] = [
        training("training_steps", .one, "training steps applied") { Double($0.steps) },
        training("training_samples", .one, "samples of applied steps") { Double($0.samples) },
        training("largest_micro_batch_tokens", .tokens, "most tokens that went through the model together") {
            Double($0.largestMicroBatch)
        },
        training("trained_tokens", .tokens, "tokens of applied steps: of each answer, its prompt included") {
            Double($0.tokens)
        },
        training("shared_tokens", .tokens, "prompt tokens among them that did not run again for a further answer") {
            Double($0.sharedTokens)
        },
        training("reused_tokens", .tokens, "trained tokens whose forward pass was skipped") {
            Double($0.reusedTokens)
        },
        training("reused_token_fraction", .one, "reused tokens / (trained tokens - shared tokens)") {
            $0.reusedFraction
        },
        training("stale_tokens", .tokens, "recorded tokens too stale to be used") { Double($0.staleTokens) },
        training("record_hit_rate", .one, "reused tokens / (reused tokens + stale tokens)") { $0.hitRate },
        training(
            "busy_seconds", .seconds, "forward + reference + loss + recompute + backward + optimizer + publish + stall"
        ) {
            $0.busy.seconds
        },
        training("forward_seconds", .seconds, "forward passes below the head") { $0.time.forward.seconds },
        training("reference_seconds", .seconds, "the reference model's forward passes and scores") {
            $0.time.reference.seconds
        },
        training("loss_seconds", .seconds, "head and loss, forward and backward") { $0.time.loss.seconds },
        training("recompute_seconds", .seconds, "forward work done again before the backward passes") {
            $0.time.recompute.seconds
        },
        training("backward_seconds", .seconds, "backward passes below the head") { $0.time.backward.seconds },
        training("optimizer_seconds", .seconds, "clipping and the optimizer") { $0.time.optimizer.seconds },
        training("publish_seconds", .seconds, "waiting for the last weights to reach the server") {
            $0.time.publish.seconds
        },
        training("learning_lag_mean", .seconds, "mean of: first token served with it - feedback, all samples") {
            $0.learningLag?.mean
        },
        training("learning_lag_p50", .seconds, "median of: first token served with it - feedback, all samples") {
            $0.learningLag?.p50
        },
        training("learning_lag_p90", .seconds, "90th percentile of: first token served with it - feedback") {
            $0.learningLag?.p90
        },
        training("stall_seconds", .seconds, "time in which the trainer could have run but for a reload") {
            $0.stall.seconds
        },
        training("forward_share", .one, "forward seconds / busy seconds") { $0.forwardShare },
        training("tokens_per_busy_second", .tokensPerSecond, "trained tokens / busy seconds") {
            $0.tokensPerBusySecond
        },
        training("tokens_per_wall_second", .tokensPerSecond, "trained tokens / wall seconds, draining included") {
            $0.tokensPerWallSecond
        },
        training("tokens_per_device_second", .tokensPerSecond, "trained tokens / (wall seconds x devices)") {
            $0.tokensPerDeviceSecond
        },
        training("longest_trainer_quantum", .seconds, "longest quantum of the trainer") {
            $0.longestQuantum?.seconds
        },
        training("loss_first", .nats, "mean loss of the first quarter of the steps, at least one") { $0.firstLoss },
        training("loss_last", .nats, "mean loss of the last quarter of the steps, at least one") { $0.lastLoss },
        training("heldout_loss_base_first", .nats, "on texts of the base's language, before the first step") {
            $0.firstHeldOut?.base
        },
        training("heldout_loss_base_last", .nats, "on texts of the base's language, after the last step") {
            $0.lastHeldOut?.base
        },
        training("heldout_loss_shifted_first", .nats, "on texts of the shifted language, before the first step") {
            $0.firstHeldOut?.shifted
        },
        training("heldout_loss_shifted_last", .nats, "on texts of the shifted language, after the last step") {
            $0.lastHeldOut?.shifted
        },
        training("record_age_mean", .one, "mean age of used records in versions, weighted by reused tokens") {
            $0.meanAge
        },
        training("record_age_oldest", .one, "highest age of a used record in versions") {
            $0.oldestAge.map(Double.init)
        },
    ]

    private static let auditMetrics: [Metric<ArmSummary>] = [
        training("audited_steps", .one, "steps whose gradient was audited") { Double($0.audits.count) },
        training(
            "gradient_rounding_error", .one,
            "against recomputing at the records' weights, rounded as the records are: highest of all audits"
        ) { $0.roundingError },
        training(
            "gradient_precision_error", .one,
            "against recomputing at the records' weights, with nothing rounded: median of all audits"
        ) { $0.precisionError?.median },
        training("gradient_precision_error_worst", .one, "the same: highest of all audits") {
            $0.precisionError?.maximum
        },
        training("gradient_precision_cosine", .one, "cosine with that gradient: median of all audits") {
            $0.precisionCosine?.median
        },
        training("gradient_staleness_error", .one, "against recomputing at the step's weights: median of all audits") {
            $0.stalenessError?.median
        },
        training("gradient_staleness_error_worst", .one, "the same: highest of all audits") {
            $0.stalenessError?.maximum
        },
        training("gradient_staleness_cosine", .one, "cosine with the recomputed gradient: median of all audits") {
            $0.stalenessCosine?.median
        },
        training("gradient_staleness_cosine_worst", .one, "the same: lowest of all audits") {
            $0.stalenessCosine?.minimum
        },
    ]

    /// A metric that an arm without training does not have.
    private static func training(
        _ name: String, _ unit: MetricUnit, _ description: String,
        _ value: @escaping @Sendable (TrainingSummary) -> Double?
    ) -> Metric<ArmSummary> {
        Metric(name, unit, description) { $0.training.flatMap(value) }
    }
}
