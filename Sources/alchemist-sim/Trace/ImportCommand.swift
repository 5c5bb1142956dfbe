import AlchemistSim
public import ArgumentParser
import Foundation
public import Simulator

struct ImportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import",
        abstract: "Reads a log or data set of the field and writes a trace.",
        discussion: """
            Files may be packed by gzip. Columns and fields are found by their names. Nothing is left out silently: what is \
            dropped is counted by reason, and a row that cannot be read ends the import with its line. docs/traces.md \
            describes each format.

            EXAMPLES
              alchemist-sim trace import AzureLLMInferenceTrace_conv.csv -o conv.jsonl
              alchemist-sim trace import conversation_trace.jsonl --format mooncake --limit 1000 -o mooncake.jsonl
              alchemist-sim trace import sharegpt.json --turns all --rate 2 --tokenizer tokenizer.json -o chat.jsonl
              alchemist-sim trace import log.csv --columns arrival=time:ms,prompt_tokens=in,output_tokens=out -o my.jsonl

            Exit codes: 0 done, 64 usage, 65 bad data, 74 input or output.
            """)

    @Argument(help: "The file to read.")
    var source: String

    @Option(name: .shortAndLong, help: "The trace to write.")
    var output: String

    @Option(help: "What kind of file it is. (default: told by the names in it)")
    var format: ImportFormat?

    @Option(
        help: ArgumentHelp(
            "Where a table of any other kind has what: arrival=NAME:UNIT (s, ms, us, ns or date), prompt_tokens=NAME, "
                + "output_tokens=NAME, blocks=NAME:TOKENS.", valueName: "field=name,..."))
    var columns: String?

    @Option(help: "The most requests to write; what comes behind in the source is not read. (default: all)")
    var limit: Int?

    @Option(help: "Requests a second, Poisson, every turn being one, where the source has no arrivals. (default: 1)")
    var rate: Double?

    @Option(help: "Seed of arrivals and think times.")
    var seed = TraceImporter.Options().seed

    @Option(help: "Leave out requests with more tokens of prompt and output together. (default: none)")
    var maxContext: Int?

    @Option(help: "Of conversations: their first turn, or all, each prompt holding those before. (default: all)")
    var turns: TraceImporter.Options.Turns?

    @Option(help: "Of conversations: mean seconds between a turn and the next, exponential. (default: 10)")
    var thinkTime: Double?

    @Option(help: "Of texts: ids, or counts alone. (default: ids)")
    var content: TraceContent?

    @Option(help: "Tokens of each answer where a vLLM file does not say.")
    var outputTokens: Int?

    @Option(help: "A Hugging Face tokenizer.json for texts; `make tokenizer` sets its library up. (default: bytes)")
    var tokenizer: String?

    @Flag(help: "Print one JSON object instead of the report.")
    var json = false

    func validate() throws {
        try Self.require(limit ?? 1 >= 1, "--limit: expected at least 1")
        try Self.require((rate ?? 1) > 0 && (rate ?? 1).isFinite, "--rate: expected requests a second, more than 0")
        try Self.require(maxContext ?? 2 >= 2, "--max-context: expected at least 2 tokens")
        try Self.require(0...1e9 ~= thinkTime ?? 0, "--think-time: expected seconds from 0 to 1000000000")
        try Self.require(1...Int(Int32.max) ~= outputTokens ?? 1, "--output-tokens: expected at least 1")
        try Self.require(
            (columns == nil) == (format != .columns) || format == nil,
            "--columns: expected with --format columns, or without --format")
    }

    private static func require(_ isMet: Bool, _ message: String) throws {
        guard isMet else { throw ValidationError(message) }
    }

    func run() throws {
        do {
            var options = TraceImporter.Options()
            options.format = columns == nil ? format : .columns
            options.columns = try columns.map(ColumnMap.init(parsing:))
            options.limit = limit
            options.rate = rate ?? options.rate
            options.seed = seed
            options.maxContext = maxContext
            options.turns = turns ?? options.turns
            options.meanThinkTime = thinkTime ?? options.meanThinkTime
            options.content = content ?? options.content
            options.outputTokens = outputTokens
            // Told before anything is written, so that no option is taken that does nothing.
            try OutputGuard.check(output, against: [source, tokenizer])
            let format =
                try options.format
                ?? TraceImporter.recognised(source, maxLineBytes: options.maxLineBytes)
            options.format = format
            try requireEffect(with: format)
            let report = try convert(options)
            if rate != nil, report.hasArrivals {
                Terminal.warn("alchemist-sim: --rate is not used: the source has arrivals of its own\n")
            }
            try Terminal.print(json ? report.json + "\n" : report.text + "written to \(output)\n")
        } catch {
            throw Failure(error)
        }
    }

    /// Refuses options that this format has no use for.
    private func requireEffect(with format: ImportFormat) throws {
        let isText = format == .shareGPT || format == .vllm
        try OptionUse.require([
            .init("turns", turns != nil, format == .shareGPT, "--format sharegpt"),
            .init(
                "think-time", thinkTime != nil, format == .shareGPT && turns != .first,
                "--format sharegpt and --turns all"),
            .init("content", content != nil, isText, "texts: --format sharegpt or vllm"),
            .init("tokenizer", tokenizer != nil, isText, "texts: --format sharegpt or vllm"),
            .init("output-tokens", outputTokens != nil, format == .vllm, "--format vllm"),
        ])
    }

    private func convert(_ options: TraceImporter.Options) throws -> ImportReport {
        if let tokenizer {
            var program = try TokenizerProgram(tokenizer: tokenizer)
            return try TraceImporter.run(from: source, to: output, options: options, tokenizer: &program)
        }
        var bytes = ByteTokenizer()
        return try TraceImporter.run(from: source, to: output, options: options, tokenizer: &bytes)
    }
}

extension ImportFormat: ExpressibleByArgument {}
extension TraceImporter.Options.Turns: ExpressibleByArgument {}

extension ColumnMap {
    /// A map such as `arrival=time:ms,prompt_tokens=in,output_tokens=out`.
    init(parsing text: String) throws {
        self.init(promptTokens: [], outputTokens: [])
        var seen: Set<String> = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let sides = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard sides.count == 2, !sides[1].isEmpty else { throw Self.failure(part, "field=name") }
            guard seen.insert(sides[0]).inserted else { throw Self.failure(part, "each field once") }
            let ends = sides[1].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard !ends[0].isEmpty || sides[0].hasSuffix("_tokens") else { throw Self.failure(part, "field=name") }
            switch sides[0] {
            case "arrival":
                guard let unit = TimeUnit(rawValue: ends.count > 1 ? ends[1] : "s") else {
                    throw Self.failure(part, "a unit of s, ms, us, ns or date")
                }
                arrival = [TimeColumn(ends[0], unit)]
            case "prompt_tokens": promptTokens = [sides[1]]
            case "output_tokens": outputTokens = [sides[1]]
            case "blocks":
                guard ends.count == 2, let tokens = Int(ends[1]), tokens > 0 else {
                    throw Self.failure(part, "blocks=NAME:TOKENS")
                }
                (blocks, blockTokens) = (ends[0], tokens)
            default: throw Self.failure(part, "arrival, prompt_tokens, output_tokens or blocks")
            }
        }
        guard !promptTokens.isEmpty, !outputTokens.isEmpty else {
            throw Failure("--columns \(text): expected prompt_tokens=NAME and output_tokens=NAME", .usage)
        }
    }

    private static func failure(_ found: Substring, _ expected: String) -> Failure {
        Failure("--columns: found `\(found)`, expected \(expected)", .usage)
    }
}
