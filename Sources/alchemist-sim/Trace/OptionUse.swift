/// An option, and whether it changes anything beside the others: one that does not is a mistake of the user.
struct OptionUse {
    let name: String
    let isGiven: Bool
    let isUsed: Bool
    /// What it takes to have an effect.
    let condition: String

    init(_ name: String, _ isGiven: Bool, _ isUsed: Bool, _ condition: String) {
        self.name = name
        self.isGiven = isGiven
        self.isUsed = isUsed
        self.condition = condition
    }

    static func require(_ uses: [OptionUse]) throws {
        for use in uses where use.isGiven && !use.isUsed {
            throw Failure("--\(use.name): found without effect, expected only with \(use.condition)", .usage)
        }
    }
}
