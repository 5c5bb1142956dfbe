internal import Simulator

/// Where values lie along one side of a picture, and which of them are labelled.
package struct Axis {
    package struct Tick {
        package var value: Double
        package var label: String
    }

    let range: ClosedRange<Double>
    let isLogarithmic: Bool
    package let ticks: [Tick]
    let title: String

    /// The place of a value between 0 and 1.
    package func share(of value: Double) -> Double {
        let inside = min(max(value, range.lowerBound), range.upperBound)
        guard range.upperBound > range.lowerBound else { return 0 }
        if isLogarithmic {
            return Self.log2(inside / range.lowerBound) / Self.log2(range.upperBound / range.lowerBound)
        }
        return (inside - range.lowerBound) / (range.upperBound - range.lowerBound)
    }

    /// Seconds by decades; a tick at each, and at 2 and 5 times it where there are few.
    package static func logarithmicTime(_ title: String, from lowest: Double, to highest: Double) -> Axis {
        let low = max(lowest, 1e-9)
        let high = max(highest, low * 1.5)
        let isWide = high / low > 2e4
        var ticks: [Tick] = []
        for decade in decades where decade <= high * 1.01 {
            for factor in high / low > 200 ? [1] : [1, 2, 5] as [Double] {
                let value = decade * factor
                guard value >= low * 0.99, value <= high * 1.01 else { continue }
                ticks.append(Tick(value: value, label: Figure.duration(value).replacing(".0 ", with: " ")))
            }
        }
        // Three significant digits are more than a tick needs: "1.00 ms" is "1 ms".
        for index in ticks.indices { ticks[index].label = shortened(ticks[index].label) }
        if isWide, ticks.count > 6 { ticks = ticks.enumerated().filter { $0.offset % 2 == 0 }.map(\.element) }
        return Axis(range: low...high, isLogarithmic: true, ticks: ticks, title: title)
    }

    /// From 0 in round steps.
    static func linear(
        _ title: String, from lowest: Double = 0, to highest: Double, count: Int = 5,
        label: (Double) -> String = { shortened(Figure.number($0)) }
    ) -> Axis {
        let high = highest > lowest ? highest : lowest + 1
        let step = roundStep((high - lowest) / Double(count))
        var ticks: [Tick] = []
        var index = (lowest / step).rounded(.up)
        while index * step <= high + step * 1e-6 {
            ticks.append(Tick(value: index * step, label: label(index * step)))
            index += 1
        }
        return Axis(range: lowest...high, isLogarithmic: false, ticks: ticks, title: title)
    }

    /// Bytes in the binary unit that fits the highest.
    static func bytes(_ title: String, to highest: Double) -> Axis {
        let units: [(String, Double)] = [("GiB", 0x1p30), ("MiB", 0x1p20), ("KiB", 0x1p10)]
        let (name, size) = units.first { highest >= $0.1 } ?? ("B", 1)
        let scaled = linear("\(title) (\(name))", to: highest / size)
        return Axis(
            range: 0...(scaled.range.upperBound * size), isLogarithmic: false,
            ticks: scaled.ticks.map { Tick(value: $0.value * size, label: $0.label) }, title: scaled.title)
    }

    static let shares = linear(
        "share of them", to: 1, count: 5, label: { shortened($0.formatted(decimals: 2)) })

    private static let decades: [Double] = [
        1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10, 100, 1e3, 1e4, 1e5, 1e6,
    ]

    /// 1, 2 or 5 times a power of ten, at least `size`.
    private static func roundStep(_ size: Double) -> Double {
        var power = 1.0
        while power > size { power /= 10 }
        while power * 10 <= size { power *= 10 }
        return [1, 2, 5, 10].map { $0 * power }.first { $0 >= size * 0.999 } ?? 10 * power
    }

    /// Without zeros at the end of the decimals.
    private static func shortened(_ label: String) -> String {
        let parts = label.split(separator: " ", maxSplits: 1)
        guard let number = parts.first, number.contains("."), !number.contains("e") else { return label }
        var digits = number
        while digits.last == "0" { digits.removeLast() }
        if digits.last == "." { digits.removeLast() }
        return ([String(digits)] + parts.dropFirst().map(String.init)).joined(separator: " ")
    }

    private static func log2(_ value: Double) -> Double {
        // The exponent and, between powers, the significand by halving: exact enough for a tenth of a pixel.
        var (result, rest) = (Double(value.exponent), value.significand)
        var weight = 0.5
        for _ in 0..<24 {
            rest *= rest
            if rest >= 2 { (result, rest) = (result + weight, rest / 2) }
            weight /= 2
        }
        return result
    }
}
