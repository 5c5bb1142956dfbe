public import Simulator

extension Accelerator {
    /// The file that reads back as this accelerator, its constants spelled out.
    public var yaml: String {
        var text = "format: \(Self.format)\nkind: \(Self.kind)\nfigures:\n"
        for (name, value) in figureTexts {
            text += "  \(name): {value: \(value), source: \((sources[name] ?? "").quoted)}\n"
        }
        return text + constants.yaml
    }

    private var figureTexts: [(String, String)] {
        let all: [(String, String?)] = [
            ("multiprocessors", "\(figures.multiprocessors)"), ("flops_per_second", "\(figures.flopsPerSecond)"),
            ("flops_per_second_8bit", figures.flopsPerSecond8.map { "\($0)" }),
            ("memory", Quantity.write(figures.memory)), ("bytes_per_second", "\(figures.bytesPerSecond)"),
            ("cache", Quantity.write(figures.cache)),
            ("cache_bytes_per_second", "\(figures.cacheBytesPerSecond)"),
            ("host_memory", Quantity.write(figures.hostMemory)), ("host_link", "\(figures.hostLink)"),
            ("interconnect", figures.interconnect.map { "\($0)" }),
        ]
        return all.compactMap { name, value in value.map { (name, $0) } }
    }
}

extension AcceleratorConstants {
    /// The section `constants` of a file.
    public var yaml: String {
        var text = """
            constants:
              origin: \(origin.quoted)
              products:
                launch: \(products.launch)
                tiles:

            """
        for tile in products.tiles {
            text += "      - {rows: \(tile.rows), columns: \(tile.columns), efficiency: \(tile.efficiency)}\n"
        }
        text += """
                prologue: \(products.prologue)
                last_wave: \(products.lastWave)
                slowdown: \(products.slowdown)
                onset: \(products.onset)
                bandwidth: \(products.bandwidth)
                sharpness: \(products.sharpness)
              passes:

            """
        for role in Operator.Role.allCases {
            if let pass = passes[role] { text += "    \(role.rawValue): \(pass.yaml)\n" }
        }
        text += "    other: \(otherPasses.yaml)\n"
        text +=
            "  attention: {launch: \(attention.launch), forward: \(attention.forward), backward: \(attention.backward), "
            + "decode: \(attention.decode), tile: \(attention.tile)}\n"
            + "  all_reduce: {launch: \(allReduce.launch), latency: \(allReduce.latency), "
            + "bandwidth: \(allReduce.bandwidth)}\n"
            + "  host: {iteration: \(host.iteration), sequence: \(host.sequence), unit: \(host.unit)}\n"
        return text
    }
}

extension AcceleratorConstants.Pass {
    fileprivate var yaml: String {
        "{launch: \(launch), per_value: \(perValue), bytes_per_row: \(bytesPerRow), bandwidth: \(bandwidth), "
            + "cached_bandwidth: \(cachedBandwidth)}"
    }
}

extension String {
    /// As a YAML scalar in double quotes.
    var quoted: String {
        "\"" + replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: " ") + "\""
    }
}
