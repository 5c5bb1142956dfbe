import Foundation
import Simulator
import Testing

/// A faulty trace and the message it earns, from the line number on.
struct FaultyTrace: Sendable, CustomTestStringConvertible {
    let text: String
    let message: String
    var limits = TraceLimits()

    var testDescription: String { String(message.prefix(80)) }

    /// A request of one line, some of its fields replaced or added (`nil` removes one).
    static func line(_ changes: KeyValuePairs<String, String?> = [:]) -> String {
        var fields = ["id": "\"a\"", "arrival": "1", "prompt_tokens": "3", "output_tokens": "4"]
        for (key, value) in changes { fields[key] = value }
        return "{" + fields.sorted { $0.key < $1.key }.map { "\"\($0)\": \($1)" }.joined(separator: ", ") + "}\n"
    }
}

@Suite struct TraceErrorTests {
    static let count = "expected a whole number from 1 to 2147483647"
    static let seconds = "expected seconds from 0 to 4000000000"
    static let token = "expected a token id from 0 to 2147483647"
    static let identifier = "expected a string that is not empty or an integer"

    private static func fault(
        _ changes: KeyValuePairs<String, String?>, _ message: String, limits: TraceLimits = .init()
    ) -> FaultyTrace {
        FaultyTrace(text: FaultyTrace.line(changes), message: ":1: " + message, limits: limits)
    }

    static let values: [FaultyTrace] = [
        fault(["id": nil], "field `id`: missing, \(identifier)"),
        fault(["id": "\"\""], "field `id`: found `\"\"`, \(identifier)"),
        fault(["id": "1.5"], "field `id`: found `1.5`, \(identifier)"),
        fault(["id": "{\"x\": [1]}"], "field `id`: found `{\"x\": [1]}`, \(identifier)"),
        fault(["conversation": "null"], "field `conversation`: found `null`, \(identifier)"),
        fault(["arrival": nil], "field `arrival`: missing, \(seconds)"),
        fault(["arrival": "-0.5"], "field `arrival`: found `-0.5`, \(seconds)"),
        fault(["arrival": "NaN"], "field `arrival`: found `NaN`, \(seconds)"),
        fault(["arrival": "-Infinity"], "field `arrival`: found `-Infinity`, \(seconds)"),
        fault(["arrival": "1e400"], "field `arrival`: found `1e400`, \(seconds)"),
        fault(["arrival": "4000000000.000000001"], "field `arrival`: found `4000000000.000000001`, \(seconds)"),
        fault(["arrival": "\"1\""], "field `arrival`: found `\"1\"`, \(seconds)"),
        fault(["arrival": "01"], "field `arrival`: found `01`, \(seconds)"),
        fault(["arrival": "1."], "field `arrival`: found `1.`, \(seconds)"),
        fault(["prompt_tokens": nil], "field `prompt_tokens`: missing, \(count), or token ids in `prompt`"),
        fault(["prompt_tokens": "-3"], "field `prompt_tokens`: found `-3`, \(count)"),
        fault(["prompt_tokens": "0"], "field `prompt_tokens`: found `0`, \(count)"),
        fault(["prompt_tokens": "3.0"], "field `prompt_tokens`: found `3.0`, \(count)"),
        fault(["prompt_tokens": "3e0"], "field `prompt_tokens`: found `3e0`, \(count)"),
        fault(["prompt_tokens": "2147483648"], "field `prompt_tokens`: found `2147483648`, \(count)"),
        fault(
            ["prompt_tokens": String(repeating: "9", count: 99)],
            "field `prompt_tokens`: found `\(String(repeating: "9", count: 60))…`, \(count)"),
        fault(["output_tokens": nil], "field `output_tokens`: missing, \(count), or token ids in `output`"),
        fault(["output_tokens": "true"], "field `output_tokens`: found `true`, \(count)"),
        fault(["output_tokens": "Infinity"], "field `output_tokens`: found `Infinity`, \(count)"),
        fault(["prompt": "7"], "field `prompt`: found `7`, expected an array of token ids"),
        fault(["prompt": "[]"], "field `prompt`: found `[]`, expected at least one token id"),
        fault(["prompt": "[1, -2, x]"], "field `prompt[1]`: found `-2`, \(token)"),
        fault(["prompt": "[1, 2.5]"], "field `prompt[1]`: found `2.5`, \(token)"),
        fault(["prompt": "[[1]]"], "field `prompt[0]`: found `[1]`, \(token)"),
        fault(["prompt": "[2147483648]"], "field `prompt[0]`: found `2147483648`, \(token)"),
        fault(["prompt": "[1, 2]"], "field `prompt_tokens`: found `3`, expected `2`, the number of ids in `prompt`"),
        fault(["output": "[1]"], "field `output_tokens`: found `4`, expected `1`, the number of ids in `output`"),
        fault(["turn": "-1"], "field `turn`: found `-1`, expected a whole number from 0 to 2147483647"),
        fault(["turn": "1"], "field `turn`: found `1`, expected `0`, as the request names no conversation"),
        fault(
            ["turn": "1", "conversation": "\"c\""],
            "field `turn`: found `1`, expected `0`, as its conversation has no earlier line"),
        fault(["think_time": "-1"], "field `think_time`: found `-1`, \(seconds)"),
        fault(["feedback": "3"], "field `feedback`: found `3`, expected an object or `null`"),
        fault(["feedback": "{}"], "field `feedback.delay`: missing, \(seconds)"),
        fault(["feedback": "{\"delay\": null}"], "field `feedback.delay`: found `null`, \(seconds)"),
        fault(
            ["feedback": "{\"delay\": 1, \"kind\": \"dop\"}"],
            "field `feedback.kind`: found `\"dop\"`, expected `\"sft\"` or `\"dpo\"` or `\"group\"`"),
        fault(
            ["feedback": "{\"delay\": 1, \"kind\": \"dpo\", \"rejected_tokens\": 3}"],
            "field `feedback.kind`: found `\"dpo\"`, expected `\"sft\"`", limits: TraceLimits(feedbackKinds: [.sft])),
        fault(
            ["feedback": "{\"kind\": \"dpo\", \"delay\": 1}"],
            "field `feedback.rejected`: found neither it nor `chosen`, "
                + "expected one of the two: the answer served is the other of the pair"),
        fault(
            ["feedback": "{\"kind\": \"dpo\", \"delay\": 1, \"chosen_tokens\": 2, \"rejected\": [1]}"],
            "field `feedback.rejected`: found it beside `chosen`, "
                + "expected one of the two: the answer served is the other of the pair"),
        fault(
            ["feedback": "{\"kind\": \"dpo\", \"delay\": 1, \"chosen_tokens\": 2, \"chosen\": [1]}"],
            "field `feedback.chosen_tokens`: found `2`, expected `1`, the number of ids in `feedback.chosen`"),
        fault(
            ["feedback": "{\"delay\": 1, \"weight\": 2}"],
            "field `feedback.weight`: found it in feedback of kind `\"sft\"`, expected it with kind `\"group\"` only"),
        fault(
            ["feedback": "{\"delay\": 1, \"kind\": \"group\", \"weight\": 2}"],
            "field `feedback.completions`: missing, expected at least one completion beside the answer served"),
        fault(
            ["feedback": "{\"delay\": 1, \"kind\": \"group\", \"weight\": 2, \"completions\": []}"],
            "field `feedback.completions`: found none, expected at least one completion beside the answer served"),
        fault(
            ["feedback": "{\"delay\": 1, \"kind\": \"group\", \"weight\": 1e7, \"completions\": [7]}"],
            "field `feedback.weight`: found `1e7`, expected a number from -1000000 to 1000000"),
        fault(
            [
                "feedback":
                    "{\"delay\": 1, \"kind\": \"group\", \"weight\": 1, \"completions\": [{\"output_tokens\": 1}]}"
            ],
            "field `feedback.completions.weight`: missing, expected a number from -1000000 to 1000000"),
        fault(["prefix": "[1]"], "field `prefix`: found `[1]`, expected an object"),
        fault(["prefix": "{\"blocks\": [1]}"], "field `prefix.block_tokens`: missing, \(count)"),
        fault(
            ["prefix": "{\"block_tokens\": 2, \"blocks\": []}"],
            "field `prefix.blocks`: found `[]`, expected at least one block name"),
        fault(
            ["prefix": "{\"block_tokens\": 2, \"blocks\": [1, -1]}"],
            "field `prefix.blocks[1]`: found `-1`, expected a whole number from 0 to 9223372036854775807"),
        fault(
            ["prefix": "{\"block_tokens\": 2, \"blocks\": [1, 2, 3]}"],
            "field `prefix.blocks`: found `3` blocks, expected at most 2, which hold the prompt's 3 tokens"),
        fault(
            ["prefix": "{\"block_tokens\": 2, \"blocks\": [1]}", "prompt": "[1, 2, 3]"],
            "field `prefix`: found it beside `prompt`, expected one of the two: ids say what is shared"),
        fault(
            ["prefix": "{\"block_tokens\": 2, \"blocks\": [1]}", "turn": "1"],
            "field `prefix`: found it in turn 1, expected it in turn 0, which later turns share"),
        fault(
            ["feedback": "{\"delay\": 1, \"tokens\": []}"],
            "field `feedback.tokens`: found `[]`, expected at least one token id"),
        fault(
            ["feedback": "{\"dealy\": 1}"],
            "field `feedback.dealy`: unknown, the nearest known one is `feedback.delay`"),
        fault(["promt": "[1]"], "field `promt`: unknown, the nearest known one is `prompt`"),
        fault(
            ["a\\u001b[31m\\u202e": "1"],
            "field `a\\u{1b}[31m\\u{202e}`: unknown, the nearest known one is `arrival`"),
        fault(
            ["id": "\"a\\u0007\", \"id\": 1"], "field `id`: found twice, expected once"),
        fault(
            ["feedback": "{\"delay\": 1, \"delay\": 1}"], "field `feedback.delay`: found twice, expected once"),
        fault(
            ["prompt_tokens": "60", "output_tokens": "5"],
            "field `prompt_tokens`: found `60` and `5` tokens of output, expected at most 64 in all, the model's context",
            limits: TraceLimits(maxContext: 64)),
        fault(
            ["prompt_tokens": nil, "prompt": "[1, 2]"],
            "field `prompt`: found `2` and `4` tokens of output, expected at most 5 in all, the model's context",
            limits: TraceLimits(maxContext: 5)),
        fault(
            ["feedback": "{\"delay\": 0, \"tokens\": [1, 1, 1, 1, 1, 1]}"],
            "field `feedback.tokens`: found `6` ids after a prompt of `3`, expected at most 8 in all, the model's context",
            limits: TraceLimits(maxContext: 8)),
        fault(
            ["prompt": "[0, 99, 100]"], "field `prompt[2]`: found `100`, expected a token id from 0 to 99",
            limits: TraceLimits(vocabulary: 100)),
        fault(
            ["feedback": "{\"delay\": 0, \"tokens\": [100]}"],
            "field `feedback.tokens[0]`: found `100`, expected a token id from 0 to 99",
            limits: TraceLimits(vocabulary: 100)),
    ]

    static let a = FaultyTrace.line()
    static let cut = String(a.dropLast(2))

    static let lines: [FaultyTrace] = [
        FaultyTrace(text: "", message: ": empty: found no requests, expected at least one"),
        FaultyTrace(text: "\n \r\n", message: ": empty: found no requests, expected at least one"),
        FaultyTrace(
            text: a + cut,
            message: ":2: truncated: the last line breaks off, expected a whole JSON object and a newline"),
        FaultyTrace(
            text: a + "{\"id\": \"b\", \"arrival\": 1.",
            message: ":2: truncated: the last line breaks off, expected a whole JSON object and a newline"),
        FaultyTrace(text: cut + "\n", message: ":1: column 65: found the end of the line, expected a comma or `}`"),
        FaultyTrace(text: "[1]\n", message: ":1: column 1: found `[`, expected a JSON object"),
        FaultyTrace(text: "hello world\n", message: ":1: column 1: found `hello`, expected a JSON object"),
        FaultyTrace(text: "{id: 1}\n", message: ":1: column 2: found `id`, expected a field's name in double quotes"),
        FaultyTrace(text: "{\"id\" 1}\n", message: ":1: column 7: found `1`, expected a colon"),
        FaultyTrace(text: "{\"id\": }\n", message: ":1: column 8: found `}`, expected a value"),
        FaultyTrace(
            text: "{\"id\": 1,}\n", message: ":1: column 10: found `}`, expected a field's name in double quotes"),
        FaultyTrace(
            text: "{\"id\": \"a\u{1b}\"}\n",
            message: ":1: column 10: found `\\u{1b}`, expected no control character within a string"),
        FaultyTrace(text: "{\"id\": \"\\x\"}\n", message: ":1: column 9: found `\\`, expected a known escape"),
        FaultyTrace(
            text: "{\"id\": \"\\ud800\"}\n",
            message: ":1: column 9: found `\\`, expected four hexadecimal digits of a character or a surrogate pair"),
        FaultyTrace(
            text: "{\"id\": {\"k\": 1, \"k\": 2}}\n", message: ":1: column 18: found `k`, expected no repeated field"),
        FaultyTrace(
            text: "{\"id\": " + String(repeating: "[", count: 100) + "\n",
            message: ":1: column 40: found `[`, expected at most 32 nested arrays and objects"),
        FaultyTrace(
            text: String(a.dropLast()) + " {}\n", message: ":1: column 67: found `{`, expected the end of the line"),
        FaultyTrace(text: a + "\0\n", message: ":2: found binary content, expected lines of UTF-8 text"),
        FaultyTrace(
            text: String(repeating: " ", count: 3_000_000) + a,
            message: ":1: found a line or object longer than 1000000 bytes, the most that are held at a time",
            limits: TraceLimits(maxLineBytes: 1_000_000)),
        FaultyTrace(
            text: a + "\n" + a, message: ":3: field `id`: found `a`, expected an id of its own, this one is line 1's"),
        FaultyTrace(
            text: a + FaultyTrace.line(["id": "2", "arrival": "0.5"]),
            message: ":2: field `arrival`: found `0.5`, expected at least 1, the arrival of line 1"),
        FaultyTrace(
            text: FaultyTrace.line(["conversation": "1"])
                + FaultyTrace.line(["id": "2", "conversation": "1", "turn": "2"]),
            message: ":2: field `turn`: found `2`, expected `1`, as line 1 is turn 0"),
        FaultyTrace(
            text: FaultyTrace.line(["conversation": "1"]) + FaultyTrace.line(["id": "2", "conversation": "1"]),
            message: ":2: field `turn`: found `0`, expected `1`, as line 1 is turn 0"),
        FaultyTrace(
            text: FaultyTrace.line(["conversation": "1"])
                + FaultyTrace.line(["id": "2", "conversation": "1", "turn": "1", "prompt_tokens": "6"]),
            message: ":2: field `prompt_tokens`: found `6` tokens, expected at least 7, "
                + "the prompt and output of line 1"),
        FaultyTrace(
            text: FaultyTrace.line(["conversation": "1", "prompt": "[1, 2, 3]", "output": "[4, 5, 6, 7]"])
                + FaultyTrace.line(
                    [
                        "id": "2", "conversation": "1", "turn": "1", "prompt_tokens": nil,
                        "prompt": "[1, 2, 3, 4, 9, 6, 7, 8]",
                    ]),
            message: ":2: field `prompt[4]`: found `9`, expected `5`, as in the prompt and output of line 1"),
        FaultyTrace(
            text: FaultyTrace.line(["conversation": "1"])
                + FaultyTrace.line(
                    ["id": "2", "conversation": "1", "turn": "1", "prompt_tokens": "9", "think_time": "4e9"]),
            message: ":2: field `think_time`: found `4000000000`, "
                + "expected that the conversation's turns are sent by 4000000000 s"),
    ]

    @Test(arguments: values + lines)
    func saysWhatIsWrong(fault: FaultyTrace) throws {
        let scratch = try TraceScratch()
        let path = try scratch.file(fault.text.utf8)
        let error = #expect(throws: TraceError.self) { try TraceReader.read(path: path, limits: fault.limits) }
        #expect(error?.description == path + fault.message)
        #expect(error?.isInputOutput == false)
        #expect(try TraceReader.problems(path: path, limits: fault.limits).first == error)
    }

    @Test(arguments: [[0x7b, 0xff, 0x7d, 0x0a], [0xff, 0xfe, 0x7b, 0x00], Array(a.utf8) + [0xc3, 0x28, 0x0a]])
    func recognisesBinaryContent(bytes: [UInt8]) throws {
        let scratch = try TraceScratch()
        let path = try scratch.file(bytes)
        let error = #expect(throws: TraceError.self) { try TraceReader.read(path: path) }
        #expect(error?.problem == .notText)
    }

    @Test func recognisesALineCutWithinACharacter() throws {
        let scratch = try TraceScratch()
        let path = try scratch.file(Array(#"{"id": "😀"#.utf8.dropLast()))
        let error = #expect(throws: TraceError.self) { try TraceReader.read(path: path) }
        #expect(error?.problem == .truncated)
    }

    @Test func tellsInputErrorsFromBadData() throws {
        let scratch = try TraceScratch()
        let missing = scratch.path("none\n.jsonl")
        let shown = scratch.path("none\\u{a}.jsonl")
        for attempt in [
            { try TraceReader.problems(path: missing) },
            {
                _ = try TraceReader.read(path: missing); return []
            },
        ] {
            let error = #expect(throws: TraceError.self) { try attempt() }
            #expect(error?.description == "\(shown): cannot open the trace: No such file or directory")
            #expect(error?.isInputOutput == true)
        }

        let directory = scratch.directory
        let error = #expect(throws: TraceError.self) { try TraceReader.read(path: directory) }
        #expect(error?.description == "\(directory): found a directory, expected a file")
        #expect(error?.isInputOutput == true)
    }

    @Test(.enabled(if: geteuid() != 0, "root reads every file"))
    func namesAnUnreadableFile() throws {
        let scratch = try TraceScratch()
        let path = try scratch.file(Self.a.utf8)
        try FileManager.default.setAttributes([.posixPermissions: 0], ofItemAtPath: path)
        let error = #expect(throws: TraceError.self) { try TraceReader.read(path: path) }
        #expect(error?.description == "\(path): cannot open the trace: Permission denied")
        #expect(error?.isInputOutput == true)
    }

    @Test func collectsEveryProblem() throws {
        let scratch = try TraceScratch()
        let text =
            FaultyTrace.line(["conversation": "1", "prompt_tokens": "-1", "output_tokens": "0"])
            + FaultyTrace.line(["id": "\"b\"", "conversation": "1", "turn": "1"]) + "{\n"
            + FaultyTrace.line(["id": "\"b\"", "arrival": "0"]) + FaultyTrace.line(["id": "\"c\"", "arrival": "0.5"])
        let path = try scratch.file(text.utf8)
        let problems = try TraceReader.problems(path: path)
        #expect(problems.map(\.line) == [1, 1, 3, 4, 4])
        #expect(try TraceReader.problems(path: path, limit: 2) == Array(problems.prefix(2)))
        #expect(try TraceReader.problems(path: try scratch.file(Self.a.utf8, name: "sound.jsonl")).isEmpty)
    }

    @Test("Rules that span lines hold for lines with other mistakes, too")
    func oneMistakeHidesNoOther() throws {
        let scratch = try TraceScratch()
        let text =
            FaultyTrace.line(["id": "1", "conversation": "1", "priority": "0.5"])
            + FaultyTrace.line(["id": "2", "conversation": "1", "turn": "2", "think_time": "-1"])
            + FaultyTrace.line(["id": "3", "conversation": "1", "turn": "3", "prompt_tokens": "2", "priority": "\"x\""])
            + FaultyTrace.line(["id": "3", "turn": "7"])
        let problems = try TraceReader.problems(path: try scratch.file(text.utf8))
        #expect(problems.map(\.line) == [1, 2, 2, 3, 3, 4, 4], "\(problems)")
        let fields = problems.map { if case .field(let name, _, _) = $0.problem { name } else { "" } }
        #expect(fields == ["priority", "think_time", "turn", "priority", "prompt_tokens", "id", "turn"])
    }

    @Test("Checking goes on behind lines that cannot be held or read", arguments: ["\n", ""])
    func goesOnBehindLongLines(end: String) throws {
        let scratch = try TraceScratch()
        let long = #"{"id": "\#(String(repeating: "x", count: 900_000))"}"# + "\n"
        // The turn before may stand in one of the lines of which nothing is known.
        let later = FaultyTrace.line(["id": "2", "conversation": "9", "turn": "1"])
        let bad = FaultyTrace.line(["id": "3", "prompt_tokens": "-1"])
        let text = long + FaultyTrace.line(["id": "1"]) + later + bad + long + bad + long.dropLast() + end
        let (problems, requests) = try TraceReader.check(
            path: try scratch.file(text.utf8), limits: TraceLimits(maxLineBytes: 300_000))
        #expect(problems.map(\.line) == [1, 4, 5, 6, 6, 7], "\(problems)")
        #expect(problems.count { $0.problem == .tooLong(maxBytes: 300_000) } == 3)
        #expect(requests == 2)
    }
}
