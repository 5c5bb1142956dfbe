/// A picture with two axes. Colours are classes of the page's style sheet, so that one picture serves light and dark.
struct Chart {
    struct Line {
        var points: [(x: Double, y: Double)]
        /// Which colour and dash.
        var series: Int
    }

    /// A layer of a stack: from the top of the one below it to its own.
    struct Layer {
        var bottom: [Double]
        var top: [Double]
        var kind: Int
    }

    var title: String
    /// What a reader who does not see the picture should know.
    var summary: String
    var x: Axis
    var y: Axis
    var lines: [Line] = []
    var layers: [Layer] = []
    /// The places of the layers' values along the x axis.
    var layerX: [Double] = []
    /// A level that is marked across the picture, as a capacity.
    var limit: (level: Double, label: String)?
    var width = 440.0
    var height = 270.0

    private static let left = 58.0
    private static let right = 14.0
    private static let top = 10.0
    private static let bottom = 44.0

    /// - Parameter number: unique in the page.
    func svg(_ number: Int) -> Markup {
        let label: Markup = "c\(number)"
        return """
            <svg viewBox="0 0 \(at: width) \(at: height)" role="img" aria-labelledby="\(label)t \(label)d">
            <title id="\(label)t">\(title)</title><desc id="\(label)d">\(summary)</desc>
            \(frame)\(Markup.joined(layers.map(area)))\(Markup.joined(lines.map(path)))\(mark)</svg>

            """
    }

    private func placeX(_ value: Double) -> Double {
        Self.left + x.share(of: value) * (width - Self.left - Self.right)
    }

    private func placeY(_ value: Double) -> Double {
        height - Self.bottom - y.share(of: value) * (height - Self.top - Self.bottom)
    }

    private var frame: Markup {
        let (low, high) = (height - Self.bottom, width - Self.right)
        var result: Markup = "<g class=\"grid\">"
        for tick in x.ticks {
            let place = placeX(tick.value)
            result += """
                <line x1="\(at: place)" x2="\(at: place)" y1="\(at: Self.top)" y2="\(at: low)"/>\
                <text x="\(at: place)" y="\(at: low + 15)" text-anchor="middle">\(tick.label)</text>
                """
        }
        for tick in y.ticks {
            let place = placeY(tick.value)
            result += """
                <line x1="\(at: Self.left)" x2="\(at: high)" y1="\(at: place)" y2="\(at: place)"/>\
                <text x="\(at: Self.left - 6)" y="\(at: place + 4)" text-anchor="end">\(tick.label)</text>
                """
        }
        let middle = (Self.top + low) / 2
        result += """
            </g><g class="axis"><path d="M\(at: Self.left) \(at: Self.top)V\(at: low)H\(at: high)"/>\
            <text x="\(at: (Self.left + high) / 2)" y="\(at: height - 8)" text-anchor="middle">\(x.title)</text>\
            <text transform="translate(13 \(at: middle)) rotate(-90)" text-anchor="middle">\(y.title)</text></g>

            """
        return result
    }

    private func path(_ line: Line) -> Markup {
        guard !line.points.isEmpty else { return "" }
        // Six places evenly along the line, each series' a little further than those of the one before it.
        let count = line.points.count
        let places = (0..<6).map { count * (12 * $0 + 6 + line.series % 12) / 84 }.filter { $0 < count }
        let marks = places.map { (x: placeX(line.points[$0].x), y: placeY(line.points[$0].y)) }
        return ReportStyle.line(line.series, outline(line.points), marks: marks) + "\n"
    }

    private func area(_ layer: Layer) -> Markup {
        guard !layerX.isEmpty else { return "" }
        let upper = zip(layerX, layer.top).map { (x: $0, y: $1) }
        let lower = zip(layerX, layer.bottom).map { (x: $0, y: $1) }.reversed()
        return "<path class=\"area k\(layer.kind)\" d=\"\(outline(upper + lower))Z\"/>\n"
    }

    private func outline(_ points: [(x: Double, y: Double)]) -> Markup {
        var result: Markup = ""
        for (index, point) in points.enumerated() {
            let command: Markup = index == 0 ? "M" : "L"
            result += "\(command)\(at: placeX(point.x)) \(at: placeY(point.y))"
        }
        return result
    }

    private var mark: Markup {
        guard let limit else { return "" }
        let place = placeY(limit.level)
        return """
            <g class="limit"><line x1="\(at: Self.left)" x2="\(at: width - Self.right)" y1="\(at: place)" \
            y2="\(at: place)"/><text x="\(at: width - Self.right - 3)" y="\(at: place + 13)" \
            text-anchor="end">\(limit.label)</text></g>
            """
    }
}
