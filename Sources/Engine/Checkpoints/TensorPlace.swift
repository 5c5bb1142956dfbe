/// A tensor of a checkpoint and where its floats lie in an arena: the engine fuses projections that read the same input,
/// so several tensors of a checkpoint are consecutive rows of one of the engine's.
struct TensorPlace: Sendable, Equatable {
    let name: String
    let shape: [Int]
    /// First float in the arena.
    let offset: Int

    /// Floats held.
    var count: Int { shape.reduce(1, *) }
    var range: Range<Int> { offset..<offset + count }
}

/// Names in Hugging Face's checkpoints.
enum TensorNames {
    static let embedding = "model.embed_tokens.weight"
    static let finalNorm = "model.norm.weight"
    static let head = "lm_head.weight"

    static func layer(_ index: Int) -> String { "model.layers.\(index)." }

    /// A projection's module within its layer.
    static func module(_ projection: Projection) -> String {
        switch projection {
        case .q, .k, .v, .o: "self_attn.\(projection.rawValue)_proj"
        case .gate, .up, .down: "mlp.\(projection.rawValue)_proj"
        }
    }

    /// Tensors that old checkpoints carry and nobody needs: they follow from the configuration.
    static func isKnownBuffer(_ name: String) -> Bool { name.hasSuffix(".rotary_emb.inv_freq") }
}

extension WeightsLayout {
    /// Every tensor of a checkpoint of this model, in the order of the arena.
    func places(_ config: ModelConfig) -> [TensorPlace] {
        let h = config.hidden
        let i = config.intermediate
        let heads: [(Projection, Int)] = [(.q, config.queryWidth), (.k, config.keyWidth), (.v, config.keyWidth)]
        var places = [TensorPlace(name: TensorNames.embedding, shape: [config.vocabulary, h], offset: embedding)]
        for (index, layer) in layers.enumerated() {
            let prefix = TensorNames.layer(index)
            func add(_ name: String, _ shape: [Int], _ offset: Int) {
                places.append(TensorPlace(name: prefix + name, shape: shape, offset: offset))
            }
            add("input_layernorm.weight", [h], layer.attentionNorm)
            var row = 0
            for (projection, width) in heads {
                add(TensorNames.module(projection) + ".weight", [width, h], layer.projection + row * h)
                row += width
            }
            if let bias = layer.bias {
                row = 0
                for (projection, width) in heads {
                    add(TensorNames.module(projection) + ".bias", [width], bias + row)
                    row += width
                }
            }
            add(TensorNames.module(.o) + ".weight", [h, config.queryWidth], layer.output)
            add("post_attention_layernorm.weight", [h], layer.mlpNorm)
            add(TensorNames.module(.gate) + ".weight", [i, h], layer.gateUp)
            add(TensorNames.module(.up) + ".weight", [i, h], layer.gateUp + i * h)
            add(TensorNames.module(.down) + ".weight", [h, i], layer.down)
        }
        places.append(TensorPlace(name: TensorNames.finalNorm, shape: [h], offset: finalNorm))
        if !config.tiedHead {
            places.append(TensorPlace(name: TensorNames.head, shape: [config.vocabulary, h], offset: head))
        }
        return places
    }
}

extension AdaptersLayout {
    /// Every tensor of a PEFT adapter of this shape: A [rank, in] and B [out, rank] of each adapted projection. The A of
    /// projections that share an input lie behind one another in the engine's order: q, k, v; gate, up.
    func places(_ lora: LoRAConfig) -> [TensorPlace] {
        var places: [TensorPlace] = []
        for (index, layer) in layers.enumerated() {
            let groups: [(Group?, [Projection])] = [
                (layer.projection, [.q, .k, .v]), (layer.output, [.o]), (layer.gateUp, [.gate, .up]),
                (layer.down, [.down]),
            ]
            for case (let group?, let candidates) in groups {
                let targets = candidates.filter(lora.targets.contains)
                for (member, target) in zip(group.members, targets).enumerated() {
                    let prefix = "base_model.model." + TensorNames.layer(index) + TensorNames.module(target.1)
                    places.append(
                        TensorPlace(
                            name: prefix + ".lora_A.weight", shape: [lora.rank, group.input],
                            offset: group.a + member * lora.rank * group.input))
                    places.append(
                        TensorPlace(
                            name: prefix + ".lora_B.weight", shape: [target.0.columns.count, lora.rank],
                            offset: target.0.b))
                }
            }
        }
        return places
    }
}
