public import Simulator

/// Profiles of hardware as text. Numbers are written so that they read back as the same numbers.
extension HardwareProfile {
    /// Raised when readers of earlier profiles would misread a new one.
    static let format = 1

    public var yaml: String {
        var text = """
            # What work costs on some hardware, as `alchemist-sim calibrate` measured it: medians in seconds, and how far
            # they spread: half the distance between the quartiles, of several passes at least half their range, over it.
            # Corrections make the sums of prices of whole quanta what the sums of their times were.
            format: \(Self.format)
            cpu: \(Self.quoted(origin.cpu))
            kernel: \(Self.quoted(origin.kernel))
            threads: \(origin.threads)
            date: \(Self.quoted(origin.date))
            model: \(Self.quoted(origin.model))
            probe: \(probe)
            limits:
              flops_per_second: \(limits.flopsPerSecond)
              bytes_per_second: \(limits.bytesPerSecond)
              cache_bytes_per_second: \(limits.cacheBytesPerSecond)
              cache_bytes: \(limits.cacheBytes)
            heads:
              query_width: \(heads.queryWidth)
              kv_width: \(heads.kvWidth)
            corrections:

            """
        for phase in WorkPhase.allCases {
            guard let correction = corrections[phase] else { continue }
            text += "  \(phase.rawValue): \(correction.yaml)\n"
        }
        text += "products:\n"
        for orientation in Operator.Orientation.allCases {
            guard let surface = products[orientation] else { continue }
            text += "  \(orientation.rawValue):\n" + surface.yaml(axes: Self.productAxes)
        }
        text += "attention:\n"
        for (name, surface, axes) in attentionSurfaces { text += "  \(name):\n" + surface.yaml(axes: axes) }
        text += "passes:\n"
        for role in Operator.Role.allCases {
            guard let curve = passes[role] else { continue }
            text += "  \(role.rawValue):\n" + curve.yaml(axes: Self.passAxes)
        }
        return text
    }

    static let productAxes = ["m", "n", "k"]
    static let queryAxes = ["queries", "context"]
    static let sequenceAxes = ["sequences", "context"]
    static let passAxes = ["values"]

    private var attentionSurfaces: [(String, CostSurface, [String])] {
        [
            ("forward", attention, Self.queryAxes), ("backward", attentionBackward, Self.queryAxes),
            ("decode", decodeAttention, Self.sequenceAxes),
        ]
    }

    private static func quoted(_ text: String) -> String {
        "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: " ") + "\""
    }
}

extension HardwareProfile.Correction {
    fileprivate var yaml: String {
        if scales.count == 1, firstScales == nil { return "{scale: \(scales[0]), overhead: \(overhead)}" }
        let context = contexts != [1] ? ", context: \(list(contexts))" : ""
        let first = firstScales.map { ", first_scale: \(grid($0))" } ?? ""
        return "{rows: \(list(rows))\(context), scale: \(grid(scales))\(first), overhead: \(overhead)}"
    }

    /// A list over rows, of lists over contexts where there are several.
    private func grid(_ values: [Double]) -> String {
        let count = contexts.count
        guard count > 1 else { return list(values) }
        return list(rows.indices.map { list(values[$0 * count..<($0 + 1) * count]) })
    }
}

private func list(_ values: some Sequence<some CustomStringConvertible>) -> String {
    "[" + values.map(\.description).joined(separator: ", ") + "]"
}

extension CostSurface {
    /// The axes, then a line for each point of all axes but the last, along which its times run.
    fileprivate func yaml(axes names: [String]) -> String {
        var text = ""
        for (name, nodes) in zip(names, axes) { text += "    \(name): \(list(nodes))\n" }
        text += "    points:\n"
        let length = axes[axes.count - 1].count
        for line in 0..<seconds.count / length {
            let range = line * length..<(line + 1) * length
            text += "      - {seconds: \(list(seconds[range])), spread: \(list(spread[range]))}\n"
        }
        return text
    }
}
