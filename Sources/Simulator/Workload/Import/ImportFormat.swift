/// The kinds of files that `TraceImporter` reads.
public enum ImportFormat: String, Sendable, CaseIterable {
    /// `[{"id": ..., "conversations": [{"from": "human", "value": "..."}, ...]}, ...]`.
    case shareGPT = "sharegpt"
    /// `TIMESTAMP,ContextTokens,GeneratedTokens`, of 2023 and of 2024.
    case azure
    /// JSON lines with hashes of blocks of 512 tokens, times in milliseconds.
    case mooncake
    /// `num_prefill_tokens,num_decode_tokens`, and `arrived_at` in seconds or not.
    case vidur
    /// JSON lines with a `prompt` as text, and `output_tokens` or not.
    case vllm
    /// `Timestamp,Model,Request tokens,Response tokens,...`; failed requests have no response tokens.
    case burstGPT = "burstgpt"
    /// JSON lines with hashes of blocks of 16 tokens, times in seconds.
    case bailian
    /// `input_toks` and `output_toks`, as CSV or JSON lines.
    case llmServingSim = "llmservingsim"
    /// Columns named by the user.
    case columns

    /// The columns of a table's format.
    var columns: ColumnMap? {
        switch self {
        case .azure:
            ColumnMap(
                arrival: [.init("TIMESTAMP", .date)], promptTokens: ["ContextTokens"],
                outputTokens: ["GeneratedTokens"])
        case .mooncake:
            ColumnMap(
                arrival: [.init("timestamp", .milliseconds)], promptTokens: ["input_length"],
                outputTokens: ["output_length"], blocks: "hash_ids")
        case .bailian:
            {
                var map = ColumnMap(
                    arrival: [.init("timestamp", .seconds)], promptTokens: ["input_length"],
                    outputTokens: ["output_length"], blocks: "hash_ids")
                map.blockTokens = 16
                return map
            }()
        case .vidur:
            {
                var map = ColumnMap(
                    arrival: [.init("arrived_at", .seconds)], promptTokens: ["num_prefill_tokens"],
                    outputTokens: ["num_decode_tokens"])
                map.arrivalIsOptional = true
                return map
            }()
        case .burstGPT:
            ColumnMap(
                arrival: [.init("Timestamp", .seconds)], promptTokens: ["Request tokens"],
                outputTokens: ["Response tokens"])
        case .llmServingSim:
            ColumnMap(
                arrival: [.init("arrival_time_ns", .nanoseconds), .init("arrival_time", .seconds)],
                promptTokens: ["input_toks"], outputTokens: ["output_toks"])
        case .shareGPT, .vllm, .columns: nil
        }
    }

    /// The format whose files have these names, of columns or of fields; the first that fits.
    static func recognised(by names: [String], isCSV: Bool) -> ImportFormat? {
        if !isCSV, names.contains("conversations") { return .shareGPT }
        // Bailian's logs have Mooncake's names and others besides.
        let candidates: [ImportFormat] =
            names.contains("chat_id") ? [.bailian] : [.azure, .mooncake, .vidur, .burstGPT, .llmServingSim]
        for format in candidates {
            if case .success = format.columns?.resolved(among: names) { return format }
        }
        return !isCSV && names.contains("prompt") && !names.contains("arrival") ? .vllm : nil
    }
}
