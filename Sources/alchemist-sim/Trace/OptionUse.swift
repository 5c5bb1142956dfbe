import AlchemistSim

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

    /// The same of the settings of a trace to generate.
    static func require(_ recipe: TraceRecipe) throws {
        guard let mistake = recipe.mistake else { return }
        func option(_ setting: String) -> String { String(setting.map { $0 == "_" ? "-" : $0 }) }
        let (setting, values) = (option(mistake.condition.setting), mistake.condition.values)
        let condition = "--" + setting + (values.isEmpty ? "" : " " + values)
        try require([OptionUse(option(mistake.setting), true, false, condition)])
    }
}
