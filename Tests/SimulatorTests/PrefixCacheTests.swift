import Simulator
import Testing

@Suite struct PrefixCacheTests {
    /// The cache as plain lists: whole texts as keys, and the order of last use as a list.
    private struct PlainCache {
        let capacity: Int
        let blockTokens: Int
        let budget: Int
        /// Texts of the full blocks, each with all before it; the least recently used first.
        var entries: [[Int32]] = []

        /// Serves one request from beginning to end; returns the prompt tokens found.
        mutating func serve(prompt: Int, text: [Int32]) -> Int {
            let blocks = stride(from: blockTokens, through: text.count, by: blockTokens).map { Array(text[..<$0]) }
            var found: [[Int32]] = []
            for block in blocks where block.count <= prompt {
                guard entries.contains(block) else { break }
                found.append(block)
            }
            var cached = found.count * blockTokens
            if cached == prompt {
                // The last token is computed in a copy of its block, which counts as a use of the block.
                let last = found.removeLast()
                cached = found.count * blockTokens
                if blockTokens > 1 {
                    cached = prompt - 1
                    entries.removeAll { $0 == last }
                    entries.append(last)
                }
            }
            // What is in use is no candidate to go.
            entries.removeAll(where: found.contains)
            var computed = cached
            while computed < text.count {
                computed = computed < prompt ? min(prompt, computed + budget) : computed + 1
                while entries.count + (computed + blockTokens - 1) / blockTokens > capacity { entries.removeFirst() }
                // Blocks that have become full take the place of idle ones that hold the same.
                entries.removeAll { $0.count <= computed && blocks.contains($0) }
            }
            // All is given back, the end first.
            entries += blocks.reversed()
            return cached
        }
    }

    /// Conversations whose turns come one after the other, many of them beginning alike, in a cache that holds few.
    private static func trace(_ stream: inout RandomStream, ids: Bool) -> Trace {
        var requests: [Request] = []
        var texts: [[Int32]] = []
        var open: [Int] = []
        for index in 0..<120 {
            let place = stream.below(open.count + 2)
            let before = place < open.count ? open.remove(at: place) : nil
            var text = before.map { texts[$0] } ?? []
            let topic = Int32(before.map { Int(texts[$0][0]) } ?? stream.below(3))
            func extend(by count: Int) {
                // The first twenty tokens tell no more than the topic.
                for _ in 0..<count { text.append(text.count < 20 ? topic : Int32(10 + stream.below(4))) }
            }
            extend(by: 1 + stream.below(20))
            let prompt = text.count
            extend(by: 1 + stream.below(12))
            texts.append(text)
            open.append(index)
            if open.count > 6 { open.removeFirst() }
            requests.append(
                Request(
                    id: "r\(index)", arrival: SimTime(nanoseconds: Int64(index) * 1_000_000_000), promptTokens: prompt,
                    outputTokens: text.count - prompt, prompt: ids ? Array(text[..<prompt]) : nil,
                    output: ids ? Array(text[prompt...]) : nil, conversation: "c",
                    turn: before.map { requests[$0].turn + 1 } ?? 0, previousTurn: before))
        }
        return Trace(source: "conversations", requests: requests)
    }

    @Test(arguments: 0..<40) func hitsAreThoseOfPlainLists(seed: Int) throws {
        var stream = RandomStream(seed: UInt64(seed), name: "prefixes")
        let ids = stream.below(3) > 0
        let trace = Self.trace(&stream, ids: ids)
        var configuration = ArmConfiguration()
        configuration.serving.prefixCache = true
        configuration.serving.kvBlockTokens = [1, 2, 5, 16][stream.below(4)]
        configuration.serving.tokenBudget = [7, 1000][stream.below(2)]
        configuration.serving.maxBatch = 1
        let demand = RateBackend()
        let least = MemoryRequirement(configuration: configuration, trace: trace, demand: demand)
        let largest = least.largestKV.count / least.kvBlock.count
        let capacity = largest + [1, 8, 40, 10_000][stream.below(4)]
        configuration.serving.kvMemory = .bytes(least.kvBlock * capacity)
        var simulation = try Simulation(configuration: configuration, trace: trace, backend: demand)
        simulation.checksEveryEvent = true
        let log = try simulation.run()

        var plain = PlainCache(
            capacity: capacity, blockTokens: configuration.serving.kvBlockTokens,
            budget: configuration.serving.tokenBudget)
        // Without ids a conversation is a text of its own.
        var roots: [Int] = []
        for (index, request) in trace.requests.enumerated() {
            roots.append(request.previousTurn.map { roots[$0] } ?? index)
            let run = request.promptTokens + request.outputTokens - 1
            let text =
                if let prompt = request.prompt, let output = request.output { Array((prompt + output)[..<run]) } else {
                    (0..<run).map { Int32(1000 * (roots[index] + 1) + $0) }
                }
            #expect(log.requests[index].cachedTokens == plain.serve(prompt: request.promptTokens, text: text))
        }
        #expect(log.requests.contains { $0.cachedTokens > 0 })
    }

    private static func prefixes(_ requests: [Request], blockTokens: Int) -> PrefixHashes {
        PrefixHashes(Trace(source: "", requests: requests), blockTokens: blockTokens)
    }

    private static func request(
        prompt: Int, output: Int, ids: [Int32]? = nil, answer: [Int32]? = nil, after: Int? = nil
    ) -> Request {
        Request(
            id: "", arrival: .zero, promptTokens: prompt, outputTokens: output, prompt: ids, output: answer,
            conversation: "c", turn: after.map { $0 + 1 } ?? 0, previousTurn: after)
    }

    /// A turn that tells no ids finds the blocks of the turns before it, told or not, and of no other conversation.
    @Test(arguments: [false, true], [false, true]) func turnsShareTheirHistory(firstTells: Bool, lastTells: Bool) {
        let text = (0..<40).map { Int32($0 % 7) }
        let requests = [
            Self.request(
                prompt: 8, output: 6, ids: firstTells ? Array(text[..<8]) : nil,
                answer: firstTells ? Array(text[8..<14]) : nil),
            Self.request(prompt: 20, output: 5, after: 0),
            Self.request(prompt: 30, output: 5, ids: lastTells ? Array(text[..<30]) : nil, after: 1),
            Self.request(prompt: 30, output: 5),
        ]
        let prefixes = Self.prefixes(requests, blockTokens: 4)
        let hashes = requests.indices.map { prefixes.hashes(of: $0) }
        #expect(hashes.map(\.count) == [3, 6, 8, 8])
        #expect(hashes[1].starts(with: hashes[0]) && hashes[2].starts(with: hashes[1]))
        #expect(Set(hashes[3]).isDisjoint(with: hashes[2]))
        #expect(Set(hashes[2]).count == 8)
    }

    /// Equal texts have equal hashes, whoever asks; one other token changes its block and all that follow.
    @Test func hashesTellTextsApart() {
        let text = (0..<24).map { Int32($0 % 3) }
        for changed in 0..<24 {
            var other = text
            other[changed] = 9
            let prefixes = Self.prefixes(
                [
                    Self.request(prompt: 24, output: 1, ids: text), Self.request(prompt: 24, output: 1, ids: text),
                    Self.request(prompt: 24, output: 1, ids: other),
                ], blockTokens: 4)
            let hashes = (0..<3).map { prefixes.hashes(of: $0) }
            #expect(hashes[0] == hashes[1])
            for block in 0..<6 { #expect((hashes[0][block] == hashes[2][block]) == (block < changed / 4)) }
        }
    }

    /// Blocks that a trace names are shared as far as the tokens are that the names stand for.
    @Test(arguments: [1, 3, 4, 8]) func namedBlocksAreShared(blockTokens: Int) {
        var stream = RandomStream(seed: UInt64(blockTokens), name: "named")
        var requests: [Request] = []
        for index in 0..<40 {
            let before = index % 4 == 3 ? index - 1 : nil
            let names = (0..<1 + stream.below(4)).map { 10 * $0 + stream.below(2) }
            let fresh = max(1, 5 * names.count - 4 + stream.below(9))
            let prompt = before.map { requests[$0].promptTokens + requests[$0].outputTokens + 7 } ?? fresh
            requests.append(
                Request(
                    id: "r\(index)", arrival: .zero, promptTokens: prompt, outputTokens: 6,
                    prefix: before == nil ? PromptPrefix(blockTokens: 5, blocks: names) : nil,
                    conversation: "c\(before ?? index)", turn: before == nil ? 0 : 1, previousTurn: before))
        }
        let trace = Trace(source: "named", requests: requests)
        let source = TokenSource(trace: trace, vocabulary: 60_000, seed: 1)
        let prefixes = PrefixHashes(trace, blockTokens: blockTokens)
        let hashes = requests.indices.map { prefixes.hashes(of: $0) }
        let texts = requests.indices.map { source.prompt(of: $0) + source.output(of: $0) }
        let told = requests.map { $0.prefix?.coverage(of: $0.promptTokens) ?? 0 }
        var shared = 0
        for a in requests.indices {
            for b in 0..<a {
                for block in 0..<min(hashes[a].count, hashes[b].count) {
                    let end = (block + 1) * blockTokens
                    let isEqual = texts[a][..<end] == texts[b][..<end]
                    let isFound = hashes[a][block] == hashes[b][block]
                    // Beyond what the names tell, texts of different conversations may be equal by chance.
                    let isTold = end <= min(told[a], told[b])
                    shared += isFound && isTold ? 1 : 0
                    #expect(isFound ? isEqual : !(isTold && isEqual), "requests \(a), \(b), block \(block)")
                }
            }
        }
        #expect(shared >= 50)
    }

    @Test func adapterAndVersionArePartOfTheKey() {
        let hash = Self.prefixes([Self.request(prompt: 4, output: 1)], blockTokens: 4).hashes(of: 0)[0]
        let scopes = [
            PrefixCache.Scope(version: nil), .init(version: 0), .init(version: 1), .init(adapter: 1, version: 0),
        ]
        #expect(Set(scopes.map { hash.keyed(by: $0) }).count == 4)
    }
}
