import Foundation
import Simulator
import Testing

@Suite struct PrefixSharingTests {
    @Test func countsWhatACacheWouldFind() throws {
        let trace = try readTrace(
            """
            {"id":1,"arrival":0,"prompt_tokens":40,"output_tokens":5,"prefix":{"block_tokens":16,"blocks":[1,2,3]}}
            {"id":2,"arrival":1,"prompt_tokens":40,"output_tokens":5,"prefix":{"block_tokens":16,"blocks":[1,2,9]}}
            {"id":3,"arrival":2,"prompt_tokens":40,"output_tokens":5,"prefix":{"block_tokens":16,"blocks":[2,1,3]}}
            {"id":4,"arrival":3,"prompt_tokens":40,"output_tokens":5,"prefix":{"block_tokens":16,"blocks":[1,2,3]}}
            {"id":5,"arrival":4,"prompt_tokens":10,"output_tokens":5,"conversation":"c"}
            {"id":6,"arrival":5,"prompt_tokens":30,"output_tokens":5,"conversation":"c","turn":1}

            """)
        let summary = TraceSummary(trace)
        #expect(summary.sharedPromptTokens == 32 + 40 + 15)
        #expect(summary.sharedShare == 87.0 / 200)
        #expect(summary.cachedPrefillShare == 113.0 / (113 + 24))
        #expect(summary.arrivals.burstiness == -1)
    }

    @Test("A block that a prompt ends in is shared as far as both go")
    func lastBlocks() throws {
        let trace = try readTrace(
            """
            {"id":1,"arrival":0,"prompt_tokens":40,"output_tokens":5,"prefix":{"block_tokens":16,"blocks":[1,2,3]}}
            {"id":2,"arrival":1,"prompt_tokens":45,"output_tokens":5,"prefix":{"block_tokens":16,"blocks":[1,2,3]}}
            {"id":3,"arrival":2,"prompt_tokens":80,"output_tokens":5,"prefix":{"block_tokens":16,"blocks":[1,2,3,4]}}
            {"id":4,"arrival":3,"prompt_tokens":80,"output_tokens":5,"prefix":{"block_tokens":16,"blocks":[1,2,3,4]}}

            """)
        #expect(TraceSummary(trace).sharedPromptTokens == 40 + 45 + 64)
    }

    /// What a token is, where it stands behind the same tokens.
    private enum Token: Equatable {
        case id(Int32)
        case block(size: Int, name: Int, place: Int)
        case own(request: Int, place: Int)
    }

    /// Shared tokens told by holding every prompt beside every earlier one.
    private static func sharedByComparison(_ requests: [Request]) -> Int {
        var prompts: [[Token]] = []
        var shared = 0
        for (index, request) in requests.enumerated() {
            var prompt: [Token]
            var history = 0
            if let ids = request.prompt {
                prompt = ids.map { .id($0) }
            } else if let previous = request.previousTurn {
                prompt = prompts[previous]
                prompt += (0..<requests[previous].outputTokens).map { .own(request: previous, place: -1 - $0) }
                while prompt.count < request.promptTokens { prompt.append(.own(request: index, place: prompt.count)) }
            } else {
                prompt = (0..<request.promptTokens).map { place in
                    guard let prefix = request.prefix, place / prefix.blockTokens < prefix.blocks.count else {
                        return .own(request: index, place: place)
                    }
                    return .block(
                        size: prefix.blockTokens, name: prefix.blocks[place / prefix.blockTokens],
                        place: place % prefix.blockTokens)
                }
            }
            if let previous = request.previousTurn {
                history = requests[previous].promptTokens + requests[previous].outputTokens
            }
            let longest =
                prompts.map { earlier in
                    var count = 0
                    while count < min(earlier.count, prompt.count), earlier[count] == prompt[count] { count += 1 }
                    return count
                }.max() ?? 0
            let known = request.prompt != nil ? longest / 16 * 16 : request.previousTurn == nil ? longest : 0
            shared += max(history, known)
            prompts.append(prompt)
        }
        return shared
    }

    @Test("Sharing equals a comparison of every two prompts", arguments: 0..<12 as Range<UInt64>)
    func sharingByComparison(seed: UInt64) {
        var stream = RandomStream(seed: seed, name: "sharing")
        var requests: [Request] = []
        var last: [(index: Int, hasIDs: Bool)] = []
        for number in 0..<120 {
            var request = Request(
                id: "\(number)", arrival: SimTime(nanoseconds: Int64(number)), promptTokens: 1 + stream.below(70),
                outputTokens: 1 + stream.below(40))
            // Few different ids, so that prompts begin alike.
            func ids(_ count: Int) -> [Int32] { (0..<count).map { _ in Int32(stream.below(20) == 0 ? 1 : 0) } }
            if !last.isEmpty, stream.below(3) == 0 {
                let place = stream.below(last.count)
                let previous = requests[last[place].index]
                request.conversation = previous.conversation
                request.previousTurn = last[place].index
                request.turn = previous.turn + 1
                request.promptTokens += previous.promptTokens + previous.outputTokens
                if last[place].hasIDs, let prompt = previous.prompt, let output = previous.output {
                    request.prompt = prompt + output + ids(request.promptTokens - prompt.count - output.count)
                    request.output = ids(request.outputTokens)
                }
                last[place].index = number
            } else {
                request.conversation = "c\(number)"
                let hasIDs = stream.below(2) == 0
                if hasIDs {
                    request.prompt = ids(request.promptTokens)
                    request.output = ids(request.outputTokens)
                } else if stream.below(4) > 0 {
                    let size = 4 + 4 * stream.below(2)
                    let most = (request.promptTokens + size - 1) / size
                    request.prefix = PromptPrefix(
                        blockTokens: size, blocks: (0..<1 + stream.below(most)).map { _ in stream.below(2) })
                }
                last.append((number, hasIDs))
            }
            requests.append(request)
        }
        let summary = TraceSummary(Trace(source: "random", requests: requests))
        #expect(summary.sharedPromptTokens == Self.sharedByComparison(requests))
        #expect(summary.sharedPromptTokens > 0 && summary.sharedPromptTokens < summary.totalPromptTokens)
    }
}
