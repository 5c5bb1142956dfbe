public import Simulator

extension HardwareProfile {
    public init(contentsOf path: String) throws(ProfileError) {
        try self.init(yaml: try ProfileNode.text(of: path), path: path)
    }

    /// Reads the text of a profile; `path` is for messages.
    public init(yaml text: String, path: String) throws(ProfileError) {
        try self.init(ProfileNode(yaml: text, path: path, expected: "a profile of hardware"))
    }

    init(_ node: ProfileNode) throws(ProfileError) {
        let root = try node.mapping(allowing: [
            "format", "cpu", "kernel", "threads", "date", "model", "probe", "limits", "heads", "corrections",
            "products", "attention", "passes",
        ])
        let format = try root["format"].integer(in: 1...Int.max)
        guard format == Self.format else {
            throw try root["format"].problem("found \(format), but this build reads \(Self.format)")
        }
        self.init(
            origin: Origin(
                cpu: try root["cpu"].text, kernel: try root["kernel"].text,
                threads: try root["threads"].integer(in: 1...4096), date: try root["date"].text,
                model: try root["model"].text),
            probe: try root["probe"].positive, limits: try Self.limits(root["limits"]),
            products: try Self.products(root["products"]),
            heads: try Self.heads(root["heads"]),
            attention: try Self.attention(root["attention"], "forward", Self.queryAxes),
            attentionBackward: try Self.attention(root["attention"], "backward", Self.queryAxes),
            decodeAttention: try Self.attention(root["attention"], "decode", Self.sequenceAxes),
            passes: try Self.passes(root["passes"]), corrections: try Self.corrections(root["corrections"]))
    }

    private static func limits(_ node: ProfileNode) throws(ProfileError) -> PhysicalLimits {
        let fields = try node.mapping(allowing: [
            "flops_per_second", "bytes_per_second", "cache_bytes_per_second", "cache_bytes",
        ])
        return PhysicalLimits(
            flopsPerSecond: try fields["flops_per_second"].positive,
            bytesPerSecond: try fields["bytes_per_second"].positive,
            cacheBytesPerSecond: try fields["cache_bytes_per_second"].positive,
            cacheBytes: try fields["cache_bytes"].number(in: 0...1e18))
    }

    private static func heads(_ node: ProfileNode) throws(ProfileError) -> Heads {
        let fields = try node.mapping(allowing: ["query_width", "kv_width"])
        return Heads(
            queryWidth: try fields["query_width"].integer(in: 1...1_000_000),
            kvWidth: try fields["kv_width"].integer(in: 1...1_000_000))
    }

    private static func corrections(_ node: ProfileNode) throws(ProfileError) -> [WorkPhase: Correction] {
        let fields = try node.mapping(allowing: WorkPhase.allCases.map(\.rawValue))
        var corrections: [WorkPhase: Correction] = [:]
        for phase in WorkPhase.allCases {
            guard let node = fields.ifAny(phase.rawValue) else { continue }
            corrections[phase] = try Correction(node, of: phase)
        }
        return corrections
    }

    private static func products(_ node: ProfileNode) throws(ProfileError) -> [Operator.Orientation: CostSurface] {
        let fields = try node.mapping(allowing: Operator.Orientation.allCases.map(\.rawValue))
        var surfaces: [Operator.Orientation: CostSurface] = [:]
        for orientation in Operator.Orientation.allCases {
            surfaces[orientation] = try CostSurface(fields[orientation.rawValue], axes: productAxes)
        }
        return surfaces
    }

    private static func attention(
        _ node: ProfileNode, _ name: String, _ axes: [String]
    ) throws(ProfileError) -> CostSurface {
        try CostSurface(node.mapping(allowing: ["forward", "backward", "decode"])[name], axes: axes)
    }

    private static func passes(_ node: ProfileNode) throws(ProfileError) -> [Operator.Role: CostSurface] {
        let roles = Operator.Role.allCases.filter(\.isPass)
        let fields = try node.mapping(allowing: roles.map(\.rawValue))
        var curves: [Operator.Role: CostSurface] = [:]
        for role in roles {
            if let node = fields.ifAny(role.rawValue) { curves[role] = try CostSurface(node, axes: passAxes) }
        }
        return curves
    }
}

extension HardwareProfile.Correction {
    fileprivate init(_ node: ProfileNode, of phase: WorkPhase) throws(ProfileError) {
        let parts = try node.mapping(allowing: ["rows", "sequences", "context", "scale", "first_scale", "overhead"])
        for name in ["context", "first_scale"] where phase != .decode {
            if let node = parts.ifAny(name) { throw node.problem("only decoding has one") }
        }
        let overhead = try parts["overhead"].number(in: 0...1e6)
        // Profiles once said of decoding alone, by the number of sequences, what is now said of prefilling, too.
        if parts.ifAny("rows") != nil, let old = parts.ifAny("sequences") {
            throw old.problem("expected one of `rows` and `sequences`, which say the same")
        }
        guard let counts = parts.ifAny("rows") ?? parts.ifAny("sequences") else {
            for name in ["context", "first_scale"] {
                if let node = parts.ifAny(name) { throw node.problem("has no meaning without `rows`") }
            }
            self.init(scale: try parts["scale"].positive, overhead: overhead)
            return
        }
        let rows = try counts.axis("numbers")
        let contexts = try parts.ifAny("context")?.axis("numbers") ?? [1]
        self.init(
            rows: rows, contexts: contexts, scales: try parts["scale"].scales(rows, contexts),
            firstScales: try parts.ifAny("first_scale")?.scales(rows, contexts), overhead: overhead)
    }
}

extension ProfileNode {
    /// Nodes of an axis, called `what` where they do not ascend.
    fileprivate func axis(_ what: String) throws(ProfileError) -> [Int] {
        let nodes = try integers(in: 1...1_000_000_000_000)
        guard CostSurface.isAxis(nodes) else { throw problem("expected \(what) that ascend") }
        return nodes
    }

    /// Scales over rows, or for each of these a list over contexts where there are several.
    fileprivate func scales(_ rows: [Int], _ contexts: [Int]) throws(ProfileError) -> [Double] {
        let range = Double.leastNormalMagnitude...1e9
        guard contexts.count > 1 else { return try numbers(rows.count, in: range) }
        let lists = try items
        guard lists.count == rows.count else { throw problem("found \(lists.count) lists, expected \(rows.count)") }
        var scales: [Double] = []
        for list in lists { scales += try list.numbers(contexts.count, in: range) }
        return scales
    }
}

extension CostSurface {
    fileprivate init(_ node: ProfileNode, axes names: [String]) throws(ProfileError) {
        let fields = try node.mapping(allowing: names + ["points"])
        var axes: [[Int]] = []
        for name in names { axes.append(try fields[name].axis("sizes")) }
        let lines = try fields["points"].items
        let length = axes[axes.count - 1].count
        let wanted = axes.dropLast().reduce(1) { $0 * $1.count }
        guard lines.count == wanted else {
            throw try fields["points"].problem(
                "found \(lines.count) lines, expected \(wanted), one for each point of "
                    + names.dropLast().joined(separator: " and "))
        }
        var seconds: [Double] = []
        var spread: [Double] = []
        for line in lines {
            let parts = try line.mapping(allowing: ["seconds", "spread"])
            seconds += try parts["seconds"].numbers(length, in: Double.leastNormalMagnitude...1e9)
            spread += try parts["spread"].numbers(length, in: 0...1e9)
        }
        self.init(axes: axes, seconds: seconds, spread: spread)
    }
}
