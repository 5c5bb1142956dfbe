import AlchemistSim
import Foundation
import Simulator
import Testing

@Suite struct ProfileTests {
    static let small: HardwareProfile = {
        let surface = CostSurface(
            axes: [[1, 24], [8, 64], [8]], seconds: [1.5e-6, 2.0000000000000003e-06, 1.0 / 3, 0.5],
            spread: [0, 0.01, 0.1, 0.5])
        let plane = CostSurface(
            axes: [[1, 8], [16, 64]], seconds: [1e-6, 2e-6, 3e-6, 4e-5], spread: [0, 0, 0, 0.25])
        let line = CostSurface(axes: [[64, 4096]], seconds: [1e-7, 1e-5], spread: [0.125, 0])
        return HardwareProfile(
            origin: .init(
                cpu: "A \"CPU\": 2 GHz \\ #1", kernel: "Haswell", threads: 2, date: "2025-01-02T03:04:05Z",
                model: "nano"),
            probe: 1e-4,
            limits: PhysicalLimits(
                flopsPerSecond: 2.5e11, bytesPerSecond: 3e10, cacheBytesPerSecond: 1e11, cacheBytes: 33_554_432),
            products: [.forward: surface, .inputGradient: surface, .weightGradient: surface],
            heads: .init(queryWidth: 64, kvWidth: 32), attention: plane, attentionBackward: plane,
            decodeAttention: plane, passes: [.norm: line, .optimizer: line],
            corrections: [
                .decode: .init(
                    rows: [1, 8], contexts: [16, 64], scales: [1.0 / 3, 0.5, 2.5, 2.25],
                    firstScales: [0.7, 0.8, 3.0, 2.5], overhead: 1e-5),
                .forward: .init(rows: [1, 8], scales: [1.25, 1.5], overhead: 0),
                .loss: .none,
            ])
    }()

    /// A profile that every plan of the smallest model can be priced by.
    static func nano() -> HardwareProfile {
        func surface(_ axes: [[Int]], _ unit: Double) -> CostSurface {
            var values = [1e-6]
            for axis in axes { values = values.flatMap { value in axis.map { value * Double($0) } } }
            return CostSurface(axes: axes, seconds: values.map { 1e-6 + $0 * unit }, spread: values.map { _ in 0 })
        }
        let products = surface([[1, 64, 512], [8, 512], [8, 512]], 3e-5)
        let attention = surface([[1, 64], [1, 512]], 0.05)
        let roles = Operator.Role.allCases.filter(\.isPass)
        return HardwareProfile(
            origin: .init(cpu: "made up", kernel: "none", threads: 2, date: "2025-01-02T03:04:05Z", model: "nano"),
            probe: 1e-4,
            limits: PhysicalLimits(
                flopsPerSecond: 1e12, bytesPerSecond: 1e12, cacheBytesPerSecond: 1e13, cacheBytes: 1e6),
            products: [.forward: products, .inputGradient: products, .weightGradient: products],
            heads: .init(queryWidth: 64, kvWidth: 32), attention: attention, attentionBackward: attention,
            decodeAttention: attention,
            passes: Dictionary(uniqueKeysWithValues: roles.map { ($0, surface([[64, 65536]], 1e-3)) }),
            corrections: [.decode: .init(scale: 1, overhead: 1e-4)])
    }

    @Test func aProfileReadsBackAsItself() throws {
        #expect(try HardwareProfile(yaml: Self.small.yaml, path: "p.yaml") == Self.small)
    }

    @Test func oneContextReadsBackAsItself() throws {
        var profile = Self.small
        profile.corrections[.decode] = .init(rows: [1, 8], contexts: [64], scales: [1.25, 1.5], overhead: 0)
        #expect(try HardwareProfile(yaml: profile.yaml, path: "p.yaml") == profile)
    }

    @Test func whatWasSaidBySequencesIsReadAsRows() throws {
        let old = Self.small.yaml.replacing("rows: [1, 8]", with: "sequences: [1, 8]")
        #expect(old != Self.small.yaml)
        #expect(try HardwareProfile(yaml: old, path: "p.yaml") == Self.small)
    }

    static let faults: [(from: String, to: String, message: String)] = [
        ("format: 1", "format: 2", "p.yaml:4: field `format`: found 2, but this build reads 1"),
        ("format: 1\n", "", "p.yaml:4: has no `format`"),
        (
            "threads: 2", "threads: two",
            "p.yaml:7: field `threads`: found `two`, expected a whole number from 1 to 4096"
        ),
        ("kernel:", "kernal:", "p.yaml:6: field `kernal`: there is no such field; did you mean `kernel`?"),
        (
            "bytes_per_second: 3", "bytes_per_second: -3",
            "p.yaml:13: field `limits.bytes_per_second`: found `-30000000000.0`, expected a number above zero"
        ),
        (
            "  decode: {rows", "  decod: {rows",
            "p.yaml:20: field `corrections.decod`: there is no such field; did you mean `decode`?"
        ),
        (
            "rows: [1, 8]", "rows: [8, 8]",
            "p.yaml:20: field `corrections.decode.rows`: expected numbers that ascend"
        ),
        (
            "rows: [1, 8]", "rows: [1, 8, 9]",
            "p.yaml:20: field `corrections.decode.scale`: found 2 lists, expected 3"
        ),
        (
            "rows: [1, 8], ", "",
            "p.yaml:20: field `corrections.decode.context`: has no meaning without `rows`"
        ),
        (
            "scale: [1.25, 1.5]", "scale: [1.25, 1.5], first_scale: [2, 3]",
            "p.yaml:21: field `corrections.forward.first_scale`: only decoding has one"
        ),
        (
            "scale: [1.25, 1.5]", "context: [16], scale: [1.25, 1.5]",
            "p.yaml:21: field `corrections.forward.context`: only decoding has one"
        ),
        (
            "context: [16, 64]", "context: [64, 16]",
            "p.yaml:20: field `corrections.decode.context`: expected numbers that ascend"
        ),
        (
            "context: [16, 64], ", "",
            "p.yaml:20: field `corrections.decode.scale`: expected a single value"
        ),
        (
            "scale: [[0.3333333333333333, 0.5], ", "scale: [[0.3333333333333333], ",
            "p.yaml:20: field `corrections.decode.scale`: found 1 numbers, expected 2"
        ),
        (
            "rows: [1, 8]", "rows: [1, 8], sequences: [1, 8]",
            "p.yaml:20: field `corrections.decode.sequences`: expected one of `rows` and `sequences`"
        ),
        (
            "rows: [1, 8], scale: [1.25, 1.5]", "scale: [1, 2]",
            "p.yaml:21: field `corrections.forward.scale`: expected a single value"
        ),
        (
            "first_scale: [[0.7, 0.8], [3.0, 2.5]]", "first_scale: [[0.7, 0.8]]",
            "p.yaml:20: field `corrections.decode.first_scale`: found 1 lists, expected 2"
        ),
        ("m: [1, 24]", "m: [24, 1]", "p.yaml:25: field `products.forward.m`: expected sizes that ascend"),
        ("m: [1, 24]", "m: []", "p.yaml:25: field `products.forward.m`: expected sizes that ascend"),
        (
            "m: [1, 24]", "m: [1, 24, 25]",
            "p.yaml:29: field `products.forward.points`: found 4 lines, expected 6, one for each point of m and n"
        ),
        (
            "seconds: [1.5e-06]", "seconds: [1.5e-06, 2]",
            "p.yaml:29: field `products.forward.points.seconds`: found 2 numbers, expected 1"
        ),
        (
            "seconds: [1.5e-06]", "seconds: [0]",
            "p.yaml:29: field `products.forward.points.seconds`: found `0`, expected a number above zero"
        ),
        (
            "seconds: [1.5e-06]", "seconds: [inf]",
            "p.yaml:29: field `products.forward.points.seconds`: found `inf`, expected a number above zero"
        ),
        ("  norm:", "  qkv:", "field `passes.qkv`: there is no such field"),
    ]

    @Test(arguments: faults.indices) func mistakesAreNamedWithTheirPlace(index: Int) throws {
        let fault = Self.faults[index]
        let text = Self.small.yaml
        let range = try #require(text.range(of: fault.from))
        let error = #expect(throws: ProfileError.self) {
            _ = try HardwareProfile(yaml: text.replacingCharacters(in: range, with: fault.to), path: "p.yaml")
        }
        #expect(error?.description.contains(fault.message) == true, "\(error?.description ?? "none")")
        #expect(error?.isInputOutput == false)
    }

    @Test(arguments: ["", "[", "- 1\n", "model: mini\n"]) func whatIsNoProfileIsRefused(text: String) {
        let error = #expect(throws: ProfileError.self) { _ = try HardwareProfile(yaml: text, path: "p.yaml") }
        #expect(error?.description.hasPrefix("p.yaml") == true)
        #expect(error?.description.contains("\n") == false)
    }

    @Test func aMissingFileIsAMatterOfInput() {
        let error = #expect(throws: ProfileError.self) { _ = try HardwareProfile(contentsOf: "/nowhere/p.yaml") }
        #expect(error?.isInputOutput == true)
    }
}
