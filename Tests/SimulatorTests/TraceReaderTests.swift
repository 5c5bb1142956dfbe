import Foundation
import Simulator
import Testing

/// A directory of its own for one test's files.
struct TraceScratch: ~Copyable {
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent("trace-\(UUID().uuidString)").path

    init() throws {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    func path(_ name: String = "t.jsonl") -> String { "\(directory)/\(name)" }

    /// Writes a file and returns its path.
    func file(_ bytes: some Sequence<UInt8>, name: String = "t.jsonl") throws -> String {
        try Data(bytes).write(to: URL(fileURLWithPath: path(name)))
        return path(name)
    }
}

@Suite struct TraceReaderTests {
    @Test func readsEveryField() throws {
        let scratch = try TraceScratch()
        let text = """
            {"id": 7, "arrival": 0, "prompt": [1, 2], "output": [3], "conversation": 1}
            {"arrival": 1.5e-3, "id": "b", "prompt_tokens": 5, "output_tokens": 2, "conversation": "x", "feedback": null}

            {"id":"c","arrival":2,"prompt":[1,2,3,9],"prompt_tokens":4,"output_tokens":1,"conversation":"1","turn":1,\
            "think_time":0.25,"feedback":{"tokens":[4,5],"delay":1}}
            """
        let trace = try TraceReader.read(path: try scratch.file((text + "\n").utf8))
        let expected = [
            Request(
                id: "7", arrival: .zero, promptTokens: 2, outputTokens: 1, prompt: [1, 2], output: [3],
                conversation: "1"),
            Request(
                id: "b", arrival: SimTime(nanoseconds: 1_500_000), promptTokens: 5, outputTokens: 2,
                conversation: "x", feedback: .none),
            Request(
                id: "c", arrival: SimTime(nanoseconds: 2_000_000_000), promptTokens: 4, outputTokens: 1,
                prompt: [1, 2, 3, 9], conversation: "1", turn: 1, previousTurn: 0,
                thinkTime: .milliseconds(250),
                feedback: .given(Feedback(delay: .milliseconds(1000), signal: .sft(edited: [4, 5])))),
        ]
        #expect(trace.requests == expected)
        #expect(trace.sha256.isEmpty)
    }

    static let line = #"{"id": "a", "arrival": 1, "prompt_tokens": 3, "output_tokens": 4}"#

    @Test(arguments: [
        line, line + "\n", line + "\r\n", "\u{feff}" + line + "\n", "\n  \r\n" + line + "\n\n", "\t" + line + " \n",
        line.replacingOccurrences(of: "id", with: #"\u0069d"#),
    ])
    func acceptsLineEndsBlankLinesAndByteOrderMark(text: String) throws {
        let scratch = try TraceScratch()
        let trace = try TraceReader.read(path: try scratch.file(text.utf8))
        #expect(trace.requests.map(\.id) == ["a"])
    }

    @Test func handsEveryByteToTheObserver() throws {
        let scratch = try TraceScratch()
        // More than two blocks, so that lines straddle their borders.
        let lines = (0..<40_000).map {
            #"{"id": \#($0), "arrival": \#($0), "prompt_tokens": 300, "output_tokens": 4}"# + "\n"
        }
        let bytes = Array(lines.joined().utf8)
        var observed: [UInt8] = []
        let trace = try TraceReader.read(path: try scratch.file(bytes)) { observed.append(contentsOf: $0) }
        #expect(observed == bytes)
        #expect(trace.requests.map(\.id) == (0..<40_000).map(String.init))
    }

    @Test(arguments: [
        ("0", 0), ("-0.0", 0), ("1", 1_000_000_000), ("0.1", 100_000_000), ("1e-9", 1), ("0.5e-9", 1),
        ("0.49999999999999999999999e-9", 0), ("1.0000000005", 1_000_000_001),
        ("12345678.123456789", 12_345_678_123_456_789),
        ("3999999999.999999999", 3_999_999_999_999_999_999), ("4e9", 4_000_000_000_000_000_000),
        ("400000e+4", 4_000_000_000_000_000_000), ("0e999999999999999999999", 0), ("1e-999999999999999999999", 0),
    ])
    func readsTimesToTheNanosecond(text: String, nanoseconds: Int64) throws {
        let scratch = try TraceScratch()
        let line = #"{"id": 1, "arrival": \#(text), "prompt_tokens": 1, "output_tokens": 1}"#
        let trace = try TraceReader.read(path: try scratch.file(line.utf8))
        #expect(trace.requests.first?.arrival == SimTime(nanoseconds: nanoseconds))
    }

    @Test func readsEscapes() throws {
        let scratch = try TraceScratch()
        let line =
            #"{"id": "\"\\\/\b\f\n\r\té\u00e9\ud83d\ude00", "arrival": 1, "prompt_tokens": 1, "output_tokens": 1}"#
        let trace = try TraceReader.read(path: try scratch.file(line.utf8))
        #expect(trace.requests.first?.id == "\"\\/\u{8}\u{c}\n\r\téé😀")
    }

    /// The examples of `docs/traces.md` are one trace.
    @Test func readsTheExamplesOfTheFormat() throws {
        let repository = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let page = try String(contentsOf: repository.appendingPathComponent("docs/traces.md"), encoding: .utf8)
        let examples = page.split(separator: "\n").filter { $0.hasPrefix("{") }.joined(separator: "\n")
        let scratch = try TraceScratch()
        let trace = try TraceReader.read(path: try scratch.file(examples.utf8))
        #expect(trace.requests.map(\.id) == ["r-1", "1", "2", "r-2", "s-1", "s-2"])
        #expect(trace.requests.map(\.previousTurn) == [nil, nil, 1, nil, nil, nil])
        #expect(trace.requests[4].prefix == PromptPrefix(blockTokens: 64, blocks: [1, 7]))
        let others = [
            Feedback.Completion(answer: Feedback.Answer(count: 18), weight: 0),
            Feedback.Completion(answer: Feedback.Answer(ids: [9, 8, 7]), weight: -1),
        ]
        let delay = SimDuration.milliseconds(3000)
        #expect(
            trace.requests[4].feedback
                == .given(Feedback(delay: delay, signal: .dpo(.rejected(Feedback.Answer(count: 31))))))
        #expect(trace.requests[5].feedback == .given(Feedback(delay: delay, signal: .group(weight: 1, others: others))))
    }
}
