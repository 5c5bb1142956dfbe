internal import Simulator

/// What stands in place of logs that are too long for their rows.
extension Schema {
    static var gapBinColumns: [Column<(range: Range<Int64>, count: Int64)>] {
        [
            .integer("lower", .nanoseconds, "the shortest gap of the bin", \.range.lowerBound),
            .integer("upper", .nanoseconds, "the shortest gap beyond the bin", \.range.upperBound),
            .integer("count", .one, "gaps between two tokens in the bin", \.count),
        ]
    }

    static func windowColumns(width: SimDuration) -> [Column<(index: Int, window: QuantumCourse.Window)>] {
        [
            .time("start", "start of a window of time; all are equally wide; quanta belong where they start") {
                SimTime(nanoseconds: Int64($0.index) * width.nanoseconds)
            },
            .count("serving_quanta", "serving iterations", \.window.iterations),
            .count("training_quanta", "quanta of the trainer", \.window.trainerQuanta),
            .duration("serving_time", "how long serving iterations held a compute stream", \.window.serving),
            .duration("training_time", "how long the trainer's quanta did", \.window.training),
            .tokens("prefill_tokens", "tokens prefilled, those computed again included", \.window.prefillTokens),
            .tokens("decode_tokens", "tokens decoded", \.window.decodeTokens),
            .tokens("recorded_tokens", "tokens whose activations were recorded", \.window.recordedTokens),
            .duration("held", "how long iterations were held back until records had made room", \.window.held),
            .count("waiting", "most requests that waited for admission", \.window.waiting),
            .count("kv_blocks", "most KV blocks that requests and records held", \.window.kvBlocks),
            .count("cached_blocks", "most KV blocks that only the prefix cache held", \.window.cachedBlocks),
            .count("version", "newest version of the weights used", \.window.version),
        ]
    }

    static var unitSumColumns: [Column<(phase: TrainerPhase, sum: UnitSums.Sum)>] {
        [
            .code("phase", "what the units are of", TrainerPhase.allCases.map(\.name), \.phase.index),
            .count("count", "units", \.sum.count),
            .duration("total", "sum of their durations", \.sum.total),
            .duration("longest", "longest of them", \.sum.longest),
        ]
    }

    static var transferSumColumns: [Column<(direction: TransferDirection, sum: TransferSums.Sum)>] {
        [
            .code("direction", "which way over the host link", TransferDirection.allCases.map(\.name)) {
                $0.direction.rawValue
            },
            .count("count", "transfers", \.sum.count),
            .bytes("bytes", "bytes copied", \.sum.bytes),
            .count("pieces", "pieces that they moved", \.sum.pieces),
            .duration("busy", "how long the copy engine took", \.sum.busy),
            .duration("waiting", "how long they waited for it, summed", \.sum.waiting),
        ]
    }
}
