import Engine
import Testing

@Suite("Serving")
struct ServingTests {
    let pool = ThreadPool(width: 2)

    static func text(_ count: Int, _ vocabulary: Int, salt: Int = 0) -> [Int32] {
        (0..<count).map { Int32((31 * $0 * $0 + 7 * $0 + salt) % vocabulary) }
    }

    /// Logits of the last token when all tokens run at once.
    func whole(_ tokens: [Int32], _ transformer: Transformer, _ parameters: ModelParameters) -> [Float] {
        var logits = [Float](repeating: 0, count: transformer.config.vocabulary)
        let kv = KVBlock(transformer.config, capacity: tokens.count)
        let slice = ServingSlice(
            tokens: tokens, start: 0, kv: [KVSpan(kv, count: tokens.count)], wantsLogits: true)
        logits.withUnsafeMutableBufferPointer { _ = transformer.forward([slice], parameters, logits: $0) }
        return logits
    }

    @Test(
        "chunked prefill in paged blocks, then batched decode, equals the whole sequence at once",
        arguments: [1, 5, 32, 100], [TuningMode.full, .lora(LoRAConfig(rank: 3, alpha: 6))])
    func batched(chunk: Int, tuning: TuningMode) throws {
        let config = try #require(ModelConfig.preset("nano"))
        let transformer = Transformer(config, pool: pool)
        let parameters = TestModels.parameters(config, tuning, seed: 3, lowRank: (0.15, 0.05))
        let page = 16
        let prompts = [40, 3, 77].enumerated().map { Self.text($1, config.vocabulary, salt: $0) }
        let steps = 6
        // Pages in an order that no sequence's positions follow.
        let arena = KVBlock(config, capacity: 40 * page)
        var free = (0..<40).map { ($0 * 17) % 40 }
        var pages: [[Int]] = prompts.map { _ in [] }
        func spans(_ index: Int, _ end: Int) -> [KVSpan] {
            while pages[index].count * page < end { pages[index].append(free.removeLast()) }
            return pages[index].enumerated().compactMap { number, place in
                let count = min(page, end - number * page)
                return count > 0 ? KVSpan(arena, row: place * page, count: count) : nil
            }
        }
        var logits = [Float](repeating: 0, count: prompts.count * config.vocabulary)
        var next: [Int32] = prompts.map { _ in 0 }
        for (index, prompt) in prompts.enumerated() {
            for start in stride(from: 0, to: prompt.count, by: chunk) {
                let end = min(start + chunk, prompt.count)
                let slice = ServingSlice(
                    tokens: Array(prompt[start..<end]), start: start, kv: spans(index, end),
                    wantsLogits: end == prompt.count)
                if let token = transformer.forward([slice], parameters)[0] { next[index] = token }
            }
        }
        var texts = prompts
        for _ in 0..<steps {
            let batch = texts.indices.map { index in
                texts[index].append(next[index])
                let end = texts[index].count
                return ServingSlice(
                    tokens: [next[index]], start: end - 1, kv: spans(index, end), wantsLogits: true)
            }
            let tokens = logits.withUnsafeMutableBufferPointer {
                transformer.forward(batch, parameters, logits: $0)
            }
            for index in texts.indices {
                let expected = whole(texts[index], transformer, parameters)
                let row = logits[index * config.vocabulary..<(index + 1) * config.vocabulary]
                expectClose(row, expected, within: 1e-5, "sequence \(index) at \(texts[index].count)")
                next[index] = try #require(tokens[index])
                #expect(Int(next[index]) == expected.indices.max { expected[$0] < expected[$1] })
            }
        }
    }

    @Test("a mixed batch records what a batch of its own records")
    func records() throws {
        let config = try #require(ModelConfig.preset("nano"))
        let transformer = Transformer(config, pool: pool)
        let parameters = TestModels.parameters(config, .full, seed: 3)
        let prompts = [50, 20, 33].enumerated().map { Self.text($1, config.vocabulary, salt: $0) }
        let alone = prompts.map {
            RecordedSequence($0, count: $0.count, chunk: 64, transformer: transformer, parameters: parameters)
        }
        let together = RecordedSequence.together(
            prompts, chunk: 64, transformer: transformer, parameters: parameters)
        for (a, b) in zip(alone, together) {
            for layer in 0..<config.layers {
                let copy = ActivationBlock(config, rows: b.chunks[0].layers[layer].rows)
                b.chunks[0].layers[layer].copyContents(to: copy)
                let count = copy.count
                #expect(copy.byteCount == ActivationBlock.byteCount(config, rows: copy.rows))
                expectClose(
                    copy.buffer.floats[..<count], a.chunks[0].layers[layer].buffer.floats[..<count], within: 1e-5,
                    "layer \(layer)")
            }
            let (final, expected) = (try #require(b.chunks[0].final), try #require(a.chunks[0].final))
            expectClose(final.buffer.floats, expected.buffer.floats, within: 1e-5, "final")
            expectClose(b.kv.buffer.floats, a.kv.buffer.floats, within: 1e-5, "K and V")
        }
    }

    @Test("adapters beside the weights equal adapters merged into them")
    func merged() throws {
        let config = try #require(ModelConfig.preset("nano"))
        let lora = LoRAConfig(rank: 4, alpha: 6)
        let transformer = Transformer(config, pool: pool)
        let parameters = TestModels.parameters(config, .lora(lora), seed: 5)
        let adapters = try #require(parameters.adapters)
        let merged = Weights(zeros: config)
        merged.copy(from: parameters.weights)
        let groups: [(name: String, members: [(name: String, rows: Int)])] = [
            ("qkv", [("q", config.queryWidth), ("k", config.keyWidth), ("v", config.keyWidth)]),
            ("o", [("o", config.hidden)]),
            ("gate_up", [("gate", config.intermediate), ("up", config.intermediate)]),
            ("down", [("down", config.hidden)]),
        ]
        for layer in 0..<config.layers {
            for group in groups {
                let prefix = "layers.\(layer)."
                let weight = try #require(merged.table[prefix + group.name])
                let a = try #require(adapters.table[prefix + group.name + ".A"])
                let width = weight.shape[1]
                var row = 0
                for (index, member) in group.members.enumerated() {
                    let b = try #require(adapters.table[prefix + member.name + ".B"])
                    for out in 0..<member.rows {
                        for column in 0..<width {
                            var sum = 0.0
                            for rank in 0..<lora.rank {
                                sum +=
                                    Double(adapters.buffer.floats[b.offset + out * lora.rank + rank])
                                    * Double(
                                        adapters.buffer.floats[a.offset + (index * lora.rank + rank) * width + column])
                            }
                            merged.buffer.floats[weight.offset + (row + out) * width + column] +=
                                Float(Double(lora.scale) * sum)
                        }
                    }
                    row += member.rows
                }
            }
        }
        let tokens = Self.text(30, config.vocabulary)
        let beside = whole(tokens, transformer, parameters)
        expectClose(whole(tokens, transformer, ModelParameters(merged)), beside, within: 1e-5, "logits")
        let bare = whole(tokens, transformer, ModelParameters(parameters.weights))
        #expect(Closeness(bare, beside).relative > 0.01, "the adapters changed nothing")
    }

    @Test("fresh adapters leave the model as it is")
    func freshAdapters() throws {
        let config = try #require(ModelConfig.preset("nano"))
        let transformer = Transformer(config, pool: pool)
        let weights = Weights(config, seed: 9)
        let adapters = Adapters(config, LoRAConfig(rank: 2, alpha: 4), seed: 9)
        let tokens = Self.text(12, config.vocabulary)
        let bare = whole(tokens, transformer, ModelParameters(weights))
        #expect(whole(tokens, transformer, ModelParameters(weights, adapters: adapters)) == bare)
        #expect(bare.contains { $0 != 0 })
    }
}
