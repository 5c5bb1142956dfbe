import Foundation
import Simulator
import Testing

@Suite struct TraceWriterTests {
    /// Conversations whose turns interleave, with and without ids, under odd names.
    static func randomTrace(seed: UInt64, requests count: Int) -> Trace {
        var stream = RandomStream(seed: seed, name: "trace writer tests")
        let names = ["a", "\"q\"", "back\\slash", "tab\tnew\nline\u{0}\u{1f}\u{7f}", "é😀漢字", "\u{202e}x", "", " "]
        func ids(_ count: Int) -> [Int32] { (0..<count).map { _ in Int32(stream.below(Int(Int32.max))) } }
        func time(_ bound: Int) -> Int64 { stream.below(3) == 0 ? 0 : Int64(stream.below(bound)) }

        var requests: [Request] = []
        var lastTurns: [Int] = []
        var arrival = SimTime.zero
        while requests.count < count {
            arrival = arrival + SimDuration(nanoseconds: time(1_000_000_000_000_000))
            let number = requests.count
            var request = Request(
                id: names[stream.below(names.count)] + "\(number)", arrival: arrival,
                promptTokens: 1 + stream.below(40), outputTokens: 1 + stream.below(20))
            var history: [Int32]?
            if !lastTurns.isEmpty, stream.below(2) == 0 {
                let place = stream.below(lastTurns.count)
                let previous = requests[lastTurns[place]]
                request.conversation = previous.conversation
                request.turn = previous.turn + 1
                request.previousTurn = lastTurns[place]
                request.promptTokens += previous.promptTokens + previous.outputTokens
                request.thinkTime = SimDuration(nanoseconds: time(9_000_000_000))
                if let prompt = previous.prompt, let output = previous.output { history = prompt + output }
                lastTurns[place] = number
            } else if stream.below(3) > 0 {
                request.conversation = names[stream.below(names.count)] + "c\(number)"
                lastTurns.append(number)
            }
            if let history {
                request.prompt = history + ids(request.promptTokens - history.count)
            } else if request.turn == 0, stream.below(2) == 0 {
                request.prompt = ids(request.promptTokens)
            }
            if stream.below(2) == 0 { request.output = ids(request.outputTokens) }
            if request.turn == 0, request.prompt == nil, stream.below(2) == 0 {
                let size = 1 + stream.below(9)
                let count = 1 + stream.below((request.promptTokens + size - 1) / size)
                request.prefix = PromptPrefix(
                    blockTokens: size, blocks: (0..<count).map { _ in stream.below(stream.below(2) == 0 ? 9 : .max) })
            }
            func answer() -> Feedback.Answer {
                let count = 1 + stream.below(9)
                return stream.below(2) == 0 ? Feedback.Answer(ids: ids(count)) : Feedback.Answer(count: count)
            }
            func weight() -> Double { Double(stream.below(2_000_001) - 1_000_000) / [1, 1e3, 1e9][stream.below(3)] }
            let delay = SimDuration(nanoseconds: time(90_000_000_000))
            switch stream.below(8) {
            case 0, 1: request.feedback = .none
            case 2: request.feedback = .given(Feedback(delay: delay))
            case 3: request.feedback = .given(Feedback(delay: delay, signal: .sft(edited: ids(1 + stream.below(9)))))
            case 4:
                let other = stream.below(2) == 0 ? Feedback.Alternative.chosen(answer()) : .rejected(answer())
                request.feedback = .given(Feedback(delay: delay, signal: .dpo(other)))
            case 5:
                let others = (0...stream.below(4)).map { _ in
                    Feedback.Completion(answer: answer(), weight: weight())
                }
                request.feedback = .given(Feedback(delay: delay, signal: .group(weight: weight(), others: others)))
            default: break
            }
            requests.append(request)
        }
        return Trace(source: "random", requests: requests)
    }

    @Test(arguments: 0..<40)
    func whatIsWrittenReadsBackEqual(seed: UInt64) throws {
        let scratch = try TraceScratch()
        let trace = Self.randomTrace(seed: seed, requests: 200)
        try TraceWriter.write(trace, to: scratch.path())
        #expect(try TraceReader.read(path: scratch.path()).requests == trace.requests)
    }

    @Test func writesOneReadableLine() {
        let request = Request(
            id: "a\n", arrival: SimTime(nanoseconds: 1_020_000_000), promptTokens: 2, outputTokens: 3, prompt: [1, 2],
            conversation: "c", turn: 0, thinkTime: .milliseconds(3000),
            feedback: .given(Feedback(delay: SimDuration(nanoseconds: 1), signal: .sft(edited: [5]))))
        let expected =
            #"{"id": "a\u000a", "arrival": 1.02, "prompt": [1, 2], "output_tokens": 3, "conversation": "c", "turn": 0, "#
            + #""think_time": 3, "feedback": {"delay": 0.000000001, "kind": "sft", "tokens": [5]}}"#
        #expect(TraceWriter.line(for: request) == expected)
    }

    @Test func makesDirectoriesAndLeavesNothingElse() throws {
        let scratch = try TraceScratch()
        let path = scratch.path("deep/er/t.jsonl")
        try TraceWriter.write(Self.randomTrace(seed: 1, requests: 3), to: path)
        try TraceWriter.write(Self.randomTrace(seed: 2, requests: 5), to: path)
        #expect(try TraceReader.read(path: path).requests.count == 5)
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path("deep/er")) == ["t.jsonl"])
    }

    @Test func replacesWhatALinkPointsTo() throws {
        let scratch = try TraceScratch()
        let path = try scratch.file("old".utf8)
        try FileManager.default.createSymbolicLink(atPath: scratch.path("link"), withDestinationPath: path)
        try TraceWriter.write(Self.randomTrace(seed: 1, requests: 3), to: scratch.path("link"))
        #expect(try TraceReader.read(path: path).requests.count == 3)
    }

    @Test func refusesWhatIsNoFile() throws {
        let scratch = try TraceScratch()
        let file = try scratch.file("old".utf8)
        let trace = Self.randomTrace(seed: 1, requests: 3)
        for (path, message) in [
            (scratch.directory, "found no regular file to replace, expected the name of one or of none yet"),
            ("/dev/null", "found no regular file to replace, expected the name of one or of none yet"),
            (file + "/t.jsonl", "cannot write here: Not a directory"),
        ] {
            let error = #expect(throws: TraceError.self) { try TraceWriter.write(trace, to: path) }
            #expect(error?.description == "\(path): \(message)")
            #expect(error?.isInputOutput == true)
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.directory) == ["t.jsonl"])
    }
}
