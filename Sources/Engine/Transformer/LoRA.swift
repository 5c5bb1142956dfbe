/// A linear layer that low-rank adapters can attach to.
public enum Projection: String, Sendable, Hashable, Codable, CaseIterable {
    case q, k, v, o, gate, up, down
}

/// Low-rank adaptation: y += (alpha / rank) (x A^T) B^T beside a frozen W (Hu et al., arXiv 2106.09685).
public struct LoRAConfig: Sendable, Hashable, Codable {
    public var rank: Int
    public var alpha: Double
    /// The layers adapted.
    public var targets: Set<Projection>

    public init(rank: Int, alpha: Double, targets: Set<Projection> = Set(Projection.allCases)) {
        precondition(rank >= 1 && !targets.isEmpty, "LoRA needs a rank and a target")
        self.rank = rank
        self.alpha = alpha
        self.targets = targets
    }

    /// alpha / rank
    public var scale: Float { Float(alpha / Double(rank)) }

    /// Floats of the widest x A^T per token: that of the projections that share the most common input.
    var innerWidth: Int {
        func count(_ projection: Projection) -> Int { targets.contains(projection) ? 1 : 0 }
        return rank
            * max(count(.q) + count(.k) + count(.v), count(.gate) + count(.up), count(.o), count(.down))
    }
}

/// What training changes.
public enum TuningMode: Sendable, Hashable, Codable {
    /// Every parameter of the model.
    case full
    /// Adapters only; weights, norms and embeddings stay.
    case lora(LoRAConfig)

    /// The adapters' configuration; nil in full tuning.
    public var lora: LoRAConfig? {
        if case .lora(let lora) = self { lora } else { nil }
    }

    /// The trained parameters: of gradients, optimizer state, and what a step publishes.
    public func table(for config: ModelConfig) -> ParameterTable {
        switch self {
        case .full: WeightsLayout(config).table
        case .lora(let lora): AdaptersLayout(config, lora).table
        }
    }
}

/// Where each adapter tensor lies. Projections that read the same input share one A, rows after rows, so that x A^T is
/// one product.
struct AdaptersLayout {
    struct Member {
        let b: Int
        /// Columns of the fused projection's output that B writes.
        let columns: Range<Int>
    }

    struct Group {
        let a: Int
        let input: Int
        let members: [Member]
    }

    struct Layer {
        var projection: Group?
        var output: Group?
        var gateUp: Group?
        var down: Group?
    }

    private(set) var table = ParameterTable()
    private(set) var layers: [Layer] = []

    init(_ config: ModelConfig, _ lora: LoRAConfig) {
        let q = config.queryWidth
        let k = config.keyWidth
        let i = config.intermediate
        for index in 0..<config.layers {
            let prefix = "layers.\(index)."
            var layer = Layer()
            layer.projection = addGroup(
                prefix, "qkv", config.hidden, lora, [(.q, 0..<q), (.k, q..<q + k), (.v, q + k..<q + 2 * k)])
            layer.output = addGroup(prefix, "o", q, lora, [(.o, 0..<config.hidden)])
            layer.gateUp = addGroup(prefix, "gate_up", config.hidden, lora, [(.gate, 0..<i), (.up, i..<2 * i)])
            layer.down = addGroup(prefix, "down", i, lora, [(.down, 0..<config.hidden)])
            layers.append(layer)
        }
    }

    private mutating func addGroup(
        _ prefix: String, _ name: String, _ input: Int, _ lora: LoRAConfig,
        _ candidates: [(target: Projection, columns: Range<Int>)]
    ) -> Group? {
        let chosen = candidates.filter { lora.targets.contains($0.target) }
        guard !chosen.isEmpty else { return nil }
        let a = table.append(prefix + name + ".A", [chosen.count * lora.rank, input])
        let members = chosen.map { candidate in
            let shape = [candidate.columns.count, lora.rank]
            return Member(
                b: table.append(prefix + candidate.target.rawValue + ".B", shape), columns: candidate.columns)
        }
        return Group(a: a, input: input, members: members)
    }
}

/// The adapters of a model in one buffer.
public final class Adapters {
    public let config: ModelConfig
    public let lora: LoRAConfig
    public var table: ParameterTable { layout.table }
    /// The parameters, laid out as `table` says.
    public let buffer: FloatBuffer
    /// Bytes held.
    public var byteCount: Int { buffer.byteCount }

    let layout: AdaptersLayout
    private let layers: [LayerAdapters]

    /// A normal with deviation 1 / sqrt(input), B zero: at first the adapted model is the model.
    public init(_ config: ModelConfig, _ lora: LoRAConfig, seed: UInt64) {
        self.config = config
        self.lora = lora
        layout = AdaptersLayout(config, lora)
        buffer = FloatBuffer(count: layout.table.count)
        layers = layout.views(config, lora, base: buffer.base)
        for parameter in table.parameters where parameter.name.hasSuffix(".A") {
            NormalStream(seed: seed, name: parameter.name).fill(
                UnsafeMutableBufferPointer(rebasing: buffer.floats[parameter.range]),
                deviation: 1 / Double(parameter.shape[1]).squareRoot())
        }
    }

    /// Copies all parameters of adapters of the same sizes.
    public func copy(from other: Adapters) {
        precondition(other.table == table, "the adapters differ in their parameters")
        buffer.copy(from: other.buffer)
    }

    /// Bytes of one copy.
    public static func byteCount(_ config: ModelConfig, _ lora: LoRAConfig) -> Int {
        AdaptersLayout(config, lora).table.byteCount
    }

    func layer(_ index: Int) -> LayerAdapters { layers[index] }
}

/// One layer's adapters in an arena laid out like them: the adapters themselves, or their gradients.
struct LayerAdapters {
    /// Of q, k and v together.
    let projection: LoRAGroup?
    /// Of q alone, and of k and v alone: parts of `projection`.
    let queries: LoRAGroup?
    let keysAndValues: LoRAGroup?
    let output: LoRAGroup?
    let gateUp: LoRAGroup?
    let down: LoRAGroup?

    fileprivate init(
        _ layer: AdaptersLayout.Layer, _ config: ModelConfig, _ lora: LoRAConfig, base: UnsafeMutablePointer<Float>
    ) {
        let group = { (layout: AdaptersLayout.Group?) in layout.map { LoRAGroup($0, lora, base: base) } }
        projection = group(layer.projection)
        queries = projection?.part(0..<config.queryWidth)
        keysAndValues = projection?.part(config.queryWidth..<config.projectedWidth)
        output = group(layer.output)
        gateUp = group(layer.gateUp)
        down = group(layer.down)
    }
}

extension AdaptersLayout {
    /// Every layer's adapters in an arena that begins at `base`: made once, so that no layer's work has to.
    func views(_ config: ModelConfig, _ lora: LoRAConfig, base: UnsafeMutablePointer<Float>) -> [LayerAdapters] {
        layers.map { LayerAdapters($0, config, lora, base: base) }
    }
}

/// Adapters of projections that read the same input.
package struct LoRAGroup {
    /// [members rank, input]
    package let a: Matrix
    /// B [columns, rank] of each member, and the columns of the fused output that it adds to.
    package let members: [(b: Matrix, columns: Range<Int>)]
    let scale: Float
    let rank: Int

    package init(a: Matrix, members: [(b: Matrix, columns: Range<Int>)], scale: Float, rank: Int) {
        self.a = a
        self.members = members
        self.scale = scale
        self.rank = rank
    }

    init(_ layout: AdaptersLayout.Group, _ lora: LoRAConfig, base: UnsafeMutablePointer<Float>) {
        a = Matrix(base + layout.a, rows: layout.members.count * lora.rank, columns: layout.input)
        members = layout.members.map { member in
            (Matrix(base + member.b, rows: member.columns.count, columns: lora.rank), member.columns)
        }
        scale = lora.scale
        rank = lora.rank
    }

    /// Floats of x A^T per token.
    var innerWidth: Int { a.rows }

    /// The adapters of the projections that write `columns`, which count as columns from 0 on; nil when there are none.
    func part(_ columns: Range<Int>) -> LoRAGroup? {
        let chosen = members.indices.filter { columns.contains(members[$0].columns.lowerBound) }
        guard let first = chosen.first else { return nil }
        return LoRAGroup(
            a: a.rows(from: first * rank, count: chosen.count * rank),
            members: chosen.map { (members[$0].b, members[$0].columns.shifted(by: -columns.lowerBound)) },
            scale: scale, rank: rank)
    }

    /// y += scale (x A^T) B^T; `inner` [rows, innerWidth] receives x A^T.
    package func forward(x: Matrix, y: Matrix, inner: Matrix, pool: ThreadPool) {
        MatrixProduct.forward(x, a, inner, pool: pool)
        for (index, member) in members.enumerated() {
            MatrixProduct.forward(
                inner.columns(from: index * rank, count: rank), member.b,
                y.columns(from: member.columns.lowerBound, count: member.columns.count),
                scale: scale, accumulating: true, pool: pool)
        }
    }

    /// Gradients of A and B into `gradient`, and of x, added to `dx` unless nil.
    ///
    /// `inner` and `dInner` [rows, innerWidth] are scratch: x A^T is recomputed, a thousandth of the layer's work.
    package func backward(
        x: Matrix, dy: Matrix, dx: Matrix?, gradient: LoRAGroup, inner: Matrix, dInner: Matrix, pool: ThreadPool
    ) {
        MatrixProduct.forward(x, a, inner, pool: pool)
        for (index, member) in members.enumerated() {
            let slice = dy.columns(from: member.columns.lowerBound, count: member.columns.count)
            let start = index * rank
            MatrixProduct.weightGradient(
                slice, inner.columns(from: start, count: rank), gradient.members[index].b, scale: scale, pool: pool)
            MatrixProduct.inputGradient(
                slice, member.b, dInner.columns(from: start, count: rank), scale: scale, pool: pool)
        }
        MatrixProduct.weightGradient(dInner, x, gradient.a, pool: pool)
        if let dx { MatrixProduct.inputGradient(dInner, a, dx, accumulating: true, pool: pool) }
    }
}
