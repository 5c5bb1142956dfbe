internal import Simulator

/// Accelerators as text: figures with their sources, and constants that are stated, or those of another accelerator with
/// changes.
extension Accelerator {
    /// Raised when readers of earlier files would misread a new one.
    static let format = 1
    static let kind = "accelerator"
    static let figureNames = [
        "multiprocessors", "flops_per_second", "flops_per_second_8bit", "memory", "bytes_per_second", "cache",
        "cache_bytes_per_second", "host_memory", "host_link", "interconnect",
    ]

    /// - Parameter known: accelerators whose constants may be named.
    init(
        _ node: ProfileNode, name: String, known: (String) throws(ProfileError) -> Accelerator?
    ) throws(ProfileError) {
        let root = try node.mapping(allowing: ["format", "kind", "figures", "constants"])
        let format = try root["format"].integer(in: 1...Int.max)
        guard format == Self.format else {
            throw try root["format"].problem("found \(format), but this build reads \(Self.format)")
        }
        let (figures, sources) = try Self.figures(root["figures"])
        self.init(
            name: name, figures: figures, sources: sources,
            constants: try AcceleratorConstants(root["constants"], known: known))
    }

    private static func figures(_ node: ProfileNode) throws(ProfileError) -> (Figures, [String: String]) {
        let fields = try node.mapping(allowing: figureNames)
        var sources: [String: String] = [:]
        for name in figureNames {
            guard let node = fields.ifAny(name) else { continue }
            sources[name] = try node.mapping(allowing: ["value", "source"])["source"].text
        }
        func value(_ name: String) throws(ProfileError) -> ProfileNode {
            try fields[name].mapping(allowing: ["value", "source"])["value"]
        }
        func ifAny(_ name: String) throws(ProfileError) -> Double? {
            fields.ifAny(name) == nil ? nil : try value(name).positive
        }
        let figures = Figures(
            multiprocessors: try value("multiprocessors").integer(in: 1...100_000),
            flopsPerSecond: try value("flops_per_second").positive,
            flopsPerSecond8: try ifAny("flops_per_second_8bit"), memory: try value("memory").bytes,
            bytesPerSecond: try value("bytes_per_second").positive, cache: try value("cache").bytes,
            cacheBytesPerSecond: try value("cache_bytes_per_second").positive,
            hostMemory: try value("host_memory").bytes, hostLink: try value("host_link").positive,
            interconnect: try ifAny("interconnect"))
        return (figures, sources)
    }
}

extension AcceleratorConstants {
    private static let sections = ["from", "origin", "products", "passes", "attention", "all_reduce", "host"]

    /// A name stands for the constants of that accelerator; so does `from`, whose sections others replace.
    init(_ node: ProfileNode, known: (String) throws(ProfileError) -> Accelerator?) throws(ProfileError) {
        func constants(of node: ProfileNode) throws(ProfileError) -> AcceleratorConstants {
            let name = try node.text
            guard let other = try known(name) else {
                throw node.problem("found `\(name.safeExcerpt)`, expected the name of an accelerator of the registry")
            }
            return other.constants
        }
        guard node.isMapping else {
            self = try constants(of: node)
            return
        }
        let fields = try node.mapping(allowing: Self.sections)
        let base: AcceleratorConstants? =
            if let from = fields.ifAny("from") { try constants(of: from) } else { nil }
        // Without a base, what is missing is an error that names it.
        func section<Value>(
            _ name: String, _ known: Value?, _ read: (ProfileNode) throws(ProfileError) -> Value
        ) throws(ProfileError) -> Value {
            if let known, fields.ifAny(name) == nil { return known }
            return try read(fields[name])
        }
        let passes = try section("passes", base.map { ($0.passes, $0.otherPasses) }, Self.passes)
        self.init(
            products: try section("products", base?.products, Products.init), passes: passes.0, otherPasses: passes.1,
            attention: try section("attention", base?.attention, Attention.init),
            allReduce: try section("all_reduce", base?.allReduce, AllReduce.init),
            host: try section("host", base?.host, Host.init),
            origin: try section("origin", base?.origin) { node throws(ProfileError) in try node.text })
    }

    private static let otherName = "other"

    private static func passes(
        _ node: ProfileNode
    ) throws(ProfileError) -> ([Operator.Role: Pass], Pass) {
        let roles = Operator.Role.allCases.filter(\.isPass)
        let fields = try node.mapping(allowing: roles.map(\.rawValue) + [otherName])
        var passes: [Operator.Role: Pass] = [:]
        for role in roles {
            if let node = fields.ifAny(role.rawValue) { passes[role] = try Pass(node) }
        }
        return (passes, try Pass(fields[otherName]))
    }
}

extension AcceleratorConstants.Products {
    fileprivate init(_ node: ProfileNode) throws(ProfileError) {
        let fields = try node.mapping(allowing: [
            "launch", "tiles", "prologue", "last_wave", "slowdown", "onset", "bandwidth", "sharpness",
        ])
        var tiles: [AcceleratorConstants.Tile] = []
        for item in try fields["tiles"].items {
            let tile = try item.mapping(allowing: ["rows", "columns", "efficiency"])
            tiles.append(
                AcceleratorConstants.Tile(
                    rows: try tile["rows"].integer(in: 1...4096), columns: try tile["columns"].integer(in: 1...4096),
                    efficiency: try tile["efficiency"].share))
        }
        guard !tiles.isEmpty else { throw try fields["tiles"].problem("expected at least one tile") }
        self.init(
            launch: try fields["launch"].number(in: 0...1), tiles: tiles,
            prologue: try fields["prologue"].number(in: 0...1e6), lastWave: try fields["last_wave"].number(in: 0...1),
            slowdown: try fields["slowdown"].number(in: 0...100), onset: try fields["onset"].positive,
            bandwidth: try fields["bandwidth"].share, sharpness: try fields["sharpness"].number(in: 1...100))
    }
}

extension AcceleratorConstants.Pass {
    fileprivate init(_ node: ProfileNode) throws(ProfileError) {
        let fields = try node.mapping(allowing: [
            "launch", "per_value", "bytes_per_row", "bandwidth", "cached_bandwidth",
        ])
        self.init(
            launch: try fields["launch"].number(in: 0...1), perValue: try fields["per_value"].number(in: 0...1),
            bytesPerRow: try fields.ifAny("bytes_per_row")?.number(in: 0...1e9) ?? 0,
            bandwidth: try fields["bandwidth"].share, cachedBandwidth: try fields["cached_bandwidth"].positive)
    }
}

extension AcceleratorConstants.Attention {
    fileprivate init(_ node: ProfileNode) throws(ProfileError) {
        let fields = try node.mapping(allowing: ["launch", "forward", "backward", "decode", "tile"])
        self.init(
            launch: try fields["launch"].number(in: 0...1), forward: try fields["forward"].share,
            backward: try fields["backward"].share, decode: try fields["decode"].share,
            tile: try fields["tile"].integer(in: 1...4096))
    }
}

extension AcceleratorConstants.AllReduce {
    fileprivate init(_ node: ProfileNode) throws(ProfileError) {
        let fields = try node.mapping(allowing: ["launch", "latency", "bandwidth"])
        self.init(
            launch: try fields["launch"].number(in: 0...1), latency: try fields["latency"].number(in: 0...1),
            bandwidth: try fields["bandwidth"].share)
    }
}

extension AcceleratorConstants.Host {
    fileprivate init(_ node: ProfileNode) throws(ProfileError) {
        let fields = try node.mapping(allowing: ["iteration", "sequence", "unit"])
        self.init(
            iteration: try fields["iteration"].number(in: 0...10), sequence: try fields["sequence"].number(in: 0...10),
            unit: try fields["unit"].number(in: 0...10))
    }
}
