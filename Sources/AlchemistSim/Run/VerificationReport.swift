package import Engine
public import Foundation
internal import Simulator

/// What a verification found.
public struct VerificationReport: Sendable {
    /// A kind of tensor over all layers, and the worst of them.
    public struct Group: Sendable, Equatable, Encodable {
        /// A tensor's name without its layer, as in `gate_up.A`.
        public var name: String
        /// The tensor whose error is largest.
        public var worst: String
        /// |reused - recomputed| / max(|recomputed|, 1e-6 |recomputed, all tensors|), Euclidean norms; infinite where a
        /// value is not a number.
        public var error: Double
    }

    public var model: String
    public var options: Verification.Options
    public var promptTokens: Int
    public var recomputedLoss: Double
    public var reusedLoss: Double
    public var groups: [Group]

    package init(
        model: String, options: Verification.Options, promptTokens: Int, recomputedLoss: Double, reusedLoss: Double,
        groups: [Group]
    ) {
        self.model = model
        self.options = options
        self.promptTokens = promptTokens
        self.recomputedLoss = recomputedLoss
        self.reusedLoss = reusedLoss
        self.groups = groups
    }

    /// |reused - recomputed| / |recomputed|
    public var lossError: Double {
        let error = abs(reusedLoss - recomputedLoss) / max(abs(recomputedLoss), .leastNormalMagnitude)
        return error.isNaN ? .infinity : error
    }

    /// Whether the law holds.
    public var holds: Bool {
        lossError <= Verification.limit && groups.allSatisfy { $0.error <= Verification.limit }
    }

    /// The worst error of each group, in the order of the table.
    package static func compare(_ reused: GradientBuffer, with recomputed: GradientBuffer) -> [Group] {
        let norm = { (range: Range<Int>, value: (Int) -> Double) in
            range.reduce(0.0) { $0 + value($1) * value($1) }.squareRoot()
        }
        let expected = { Double(recomputed.buffer.base[$0]) }
        let whole = norm(0..<recomputed.table.count, expected)
        var groups: [Group] = []
        for parameter in recomputed.table.parameters {
            let difference = norm(parameter.range) { Double(reused.buffer.base[$0]) - expected($0) }
            let ratio = difference == 0 ? 0 : difference / max(norm(parameter.range, expected), 1e-6 * whole)
            // A gradient of zero everywhere is a broken pass, and so is one that is not a number.
            let error = ratio.isFinite && whole > 0 ? ratio : .infinity
            let parts = parameter.name.split(separator: ".")
            let name =
                parts.count > 2 && parts[0] == "layers" ? parts.dropFirst(2).joined(separator: ".") : parameter.name
            if let index = groups.firstIndex(where: { $0.name == name }) {
                if error > groups[index].error {
                    groups[index].error = error
                    groups[index].worst = parameter.name
                }
            } else {
                groups.append(Group(name: name, worst: parameter.name, error: error))
            }
        }
        return groups
    }
}

extension VerificationReport {
    /// The report as people read it.
    public func table() -> String {
        let limit = Self.scientific(Verification.limit)
        var rows = [("loss", Self.scientific(lossError), "\(reusedLoss), recomputed \(recomputedLoss)")]
        rows += groups.map { ($0.name, Self.scientific($0.error), $0.worst) }
        let width = rows.map(\.0.count).max() ?? 0
        var text =
            "\(model), \(options.tuning.rawValue): \(promptTokens) of \(options.length) tokens recorded in chunks of "
        text += "\(options.chunk)\n"
        for (name, error, note) in rows {
            text += name + String(repeating: " ", count: width - name.count) + "  " + error
            text += String(repeating: " ", count: max(0, 9 - error.count)) + "  \(note)\n"
        }
        return text + "the law \(holds ? "holds" : "is broken"): every error must be at most \(limit)\n"
    }

    private static func scientific(_ value: Double) -> String { String(format: "%.2e", value) }

    /// One object: what was checked, losses, errors by group, and whether the law holds.
    public func json() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        return try encoder.encode(self)
    }
}

extension VerificationReport: Encodable {
    private enum Key: String, CodingKey {
        case model, tuning, length, chunk, seed, loss, limit, holds, gradients
        case promptTokens = "prompt_tokens"
        case recomputedLoss = "loss_recomputed"
        case lossError = "loss_error"
    }

    public func encode(to encoder: any Encoder) throws {
        var object = encoder.container(keyedBy: Key.self)
        try object.encode(model, forKey: .model)
        try object.encode(options.tuning, forKey: .tuning)
        try object.encode(options.length, forKey: .length)
        try object.encode(options.chunk, forKey: .chunk)
        try object.encode(options.seed, forKey: .seed)
        try object.encode(promptTokens, forKey: .promptTokens)
        try object.encode(reusedLoss, forKey: .loss)
        try object.encode(recomputedLoss, forKey: .recomputedLoss)
        try object.encode(lossError, forKey: .lossError)
        try object.encode(Verification.limit, forKey: .limit)
        try object.encode(groups, forKey: .gradients)
        try object.encode(holds, forKey: .holds)
    }
}
