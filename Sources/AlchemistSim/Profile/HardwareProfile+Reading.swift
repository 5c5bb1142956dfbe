internal import Foundation
public import Simulator
internal import Yams

extension HardwareProfile {
    public init(contentsOf path: String) throws(ProfileError) {
        let text: String
        do {
            text = try String(contentsOfFile: path, encoding: .utf8)
        } catch {
            throw ProfileError(
                path: path, problem: "can not be read: \(error.localizedDescription)", isInputOutput: true)
        }
        try self.init(yaml: text, path: path)
    }

    /// Reads the text of a profile; `path` is for messages.
    public init(yaml text: String, path: String) throws(ProfileError) {
        let node: Node?
        do {
            node = try Yams.compose(yaml: text)
        } catch {
            let lines = "\(error)".split(whereSeparator: \.isNewline).map(\.trimmed).filter { !$0.isEmpty && $0 != "^" }
            throw ProfileError(path: path, problem: "not YAML: " + lines.joined(separator: " ").safeExcerpt)
        }
        guard let node else { throw ProfileError(path: path, problem: "is empty, expected a profile of hardware") }
        let root = try ProfileNode(node, path: path, field: "").mapping(allowing: [
            "format", "cpu", "kernel", "threads", "date", "model", "probe", "limits", "heads", "corrections",
            "products",
            "attention", "passes",
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
            let parts = try node.mapping(allowing: ["scale", "overhead"])
            corrections[phase] = Correction(
                scale: try parts["scale"].positive, overhead: try parts["overhead"].number(in: 0...1e6))
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

extension CostSurface {
    fileprivate init(_ node: ProfileNode, axes names: [String]) throws(ProfileError) {
        let fields = try node.mapping(allowing: names + ["points"])
        var axes: [[Int]] = []
        for name in names {
            let nodes = try fields[name].integers(in: 1...1_000_000_000_000)
            guard Self.isAxis(nodes) else { throw try fields[name].problem("expected sizes that ascend") }
            axes.append(nodes)
        }
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

/// A node of a profile that knows where it is.
private struct ProfileNode {
    let node: Node
    let path: String
    let field: String

    init(_ node: Node, path: String, field: String) {
        self.node = node
        self.path = path
        self.field = field
    }

    func problem(_ text: String) -> ProfileError {
        ProfileError(path: path, line: node.mark?.line, field: field.isEmpty ? nil : field, problem: text)
    }

    struct Mapping {
        let owner: ProfileNode
        let fields: [String: ProfileNode]

        func ifAny(_ name: String) -> ProfileNode? { fields[name] }

        subscript(name: String) -> ProfileNode {
            get throws(ProfileError) {
                guard let node = fields[name] else { throw owner.problem("has no `\(name)`") }
                return node
            }
        }
    }

    func mapping(allowing names: [String]) throws(ProfileError) -> Mapping {
        guard let mapping = node.mapping else { throw problem("expected " + names.joined(separator: ", ")) }
        var fields: [String: ProfileNode] = [:]
        for (key, value) in mapping {
            let name = key.string ?? ""
            guard names.contains(name) else {
                let hint = nearest(to: name, among: names).map { "; did you mean `\($0)`?" } ?? ""
                throw ProfileError(
                    path: path, line: key.mark?.line, field: inner(name.safeExcerpt),
                    problem: "there is no such field" + hint)
            }
            fields[name] = ProfileNode(value, path: path, field: inner(name))
        }
        return Mapping(owner: self, fields: fields)
    }

    private func inner(_ name: String) -> String { field.isEmpty ? name : field + "." + name }

    var items: [ProfileNode] {
        get throws(ProfileError) {
            guard let sequence = node.sequence else { throw problem("expected a list") }
            return sequence.map { ProfileNode($0, path: path, field: field) }
        }
    }

    var text: String {
        get throws(ProfileError) {
            guard let text = node.scalar?.string else { throw problem("expected a text") }
            return text
        }
    }

    var positive: Double { get throws(ProfileError) { try number(in: Double.leastNormalMagnitude...1e300) } }

    func integer(in range: ClosedRange<Int>) throws(ProfileError) -> Int {
        let text = try text
        do { return try Quantity.integer(text, in: range) } catch { throw found(text, error.expected) }
    }

    func number(in range: ClosedRange<Double>) throws(ProfileError) -> Double {
        let text = try text
        guard let value = Double(text), value.isFinite, range.contains(value) else {
            throw found(
                text, range.lowerBound > 0 ? "a number above zero" : "a number from \(Quantity.short(range.lowerBound))"
            )
        }
        return value
    }

    func integers(in range: ClosedRange<Int>) throws(ProfileError) -> [Int] {
        var values: [Int] = []
        for item in try items { values.append(try item.integer(in: range)) }
        return values
    }

    func numbers(_ count: Int, in range: ClosedRange<Double>) throws(ProfileError) -> [Double] {
        let items = try items
        guard items.count == count else { throw problem("found \(items.count) numbers, expected \(count)") }
        var values: [Double] = []
        for item in items { values.append(try item.number(in: range)) }
        return values
    }

    private func found(_ text: String, _ expected: String) -> ProfileError {
        problem("found `\(text.safeExcerpt)`, expected \(expected)")
    }
}
