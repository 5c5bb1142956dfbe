internal import Simulator

extension ReportPage {
    /// The device's memory over time, layer on layer, for each arm; and peaks by owner.
    func memory(_ number: inout Int) -> Markup {
        var figures: Markup = ""
        var used: Set<Int> = []
        let highest = arms.compactMap { $0.memory.map(Self.highest) }.max() ?? 0
        for arm in arms {
            for (memory, title) in [(arm.memory, arm.name), (arm.trainerMemory, arm.name + ", trainer's device")] {
                guard let memory else { continue }
                number += 1
                used.formUnion(memory.shown)
                figures += "<figure><h3>\(title)</h3>\(chart(memory, title, highest).svg(number))</figure>\n"
            }
        }
        guard !figures.text.isEmpty else { return "" }
        let items = ReportMemory.kinds.indices.filter(used.contains).map { kind -> Markup in
            """
            <li><svg viewBox="0 0 35 12" aria-hidden="true"><rect class="k\(kind)" width="35" height="12"/></svg>\
            \(ReportMemory.kinds[kind].name)</li>
            """
        }
        return """
            <p class="soft">What the device's bytes are for, in the first repeat. Each layer is the highest level that its \
            owner has within a moment of the picture, so a stack can be higher than the sum ever was; peaks in the table \
            are exact.</p>
            <ul class="legend" aria-label="Owners of memory">\(Markup.joined(items))</ul>
            <div class="figures wide">\(figures)</div>\(peakTable)

            """
    }

    private static func highest(_ memory: ReportMemory) -> Double {
        memory.times.indices.map { moment in memory.levels.reduce(0) { $0 + $1[moment] } }.max() ?? 0
    }

    private func chart(_ memory: ReportMemory, _ title: String, _ highest: Double) -> Chart {
        let peaks = memory.peaks.sorted { $0.bytes > $1.bytes }.prefix(4)
        let summary =
            "Highest levels: "
            + peaks.map { "\($0.owner.name.replacing("_", with: " ")) \(Figure.bytes($0.bytes))" }
            .joined(separator: ", ") + "."
        let end = max(memory.times.last ?? 0, 1e-3)
        let top = max(highest, Self.highest(memory)) * 1.04
        var chart = Chart(
            title: "Device memory over time: \(title)", summary: summary,
            x: .linear("virtual time (s)", to: end, count: 6),
            y: .bytes("device memory", to: top), width: 560, height: 260)
        chart.layerX = memory.times
        var bottom = [Double](repeating: 0, count: memory.times.count)
        for kind in memory.shown {
            let upper = zip(bottom, memory.levels[kind]).map { $0 + $1 }
            chart.layers.append(Chart.Layer(bottom: bottom, top: upper, kind: kind))
            bottom = upper
        }
        if memory.capacity > 0, memory.capacity <= top {
            chart.limit = (memory.capacity, "capacity \(Figure.bytes(memory.capacity))")
        }
        return chart
    }

    private var peakTable: Markup {
        let owners = MemoryOwner.allCases.filter { owner in
            arms.contains { $0.memory?.peaks.contains { $0.owner == owner } ?? false }
        }
        let rows = owners.map { owner -> Markup in
            let cells = arms.map { arm -> Markup in
                let peak = arm.memory?.peaks.first { $0.owner == owner }
                return "<td>\(peak.map { Figure.bytes($0.bytes) } ?? Figure.absent)</td>"
            }
            return "<tr><th scope=\"row\">\(owner.name.replacing("_", with: " "))</th>\(Markup.joined(cells))</tr>\n"
        }
        let names = Markup.joined(arms.map { "<th scope=\"col\">\($0.name)</th>" })
        return """
            <details><summary>Peaks by owner</summary><div class="scroll" tabindex="0" role="region" \
            aria-label="Peaks by owner"><table><caption>Highest level of each owner on the device, first repeat</caption>
            <thead><tr><th scope="col">owner</th>\(names)</tr></thead><tbody>
            \(Markup.joined(rows))</tbody></table></div></details>
            """
    }
}
