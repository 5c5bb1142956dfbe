/// Lengths fitted to a data set of the field. Figures only: no row of the data is in the project.
public enum NamedFit: String, Sendable, CaseIterable {
    /// First questions and answers of ShareGPT. The means are those of vLLM's paper (161 and 338 tokens; Kwon et al., SOSP
    /// 2023); the shape is that of first turns in the 8k data set below under the filter of vLLM's benchmark (at least 4
    /// tokens each, prompts up to 1024, both up to 2048), stretched to those means.
    case shareGPTFirst = "sharegpt-first"
    /// Conversations of ShareGPT up to 8192 tokens. Turns, texts and answers are fitted to token counts by Llama-2's
    /// tokenizer (project-etalon/etalon, Apache-2.0), in which consecutive rows are the turns of conversations, so that
    /// prompts with their history have that data set's distribution.
    case shareGPTMultiTurn = "sharegpt-multi"
    /// Azure's conversation service, November 2023: AzurePublicDataset, CC-BY-4.0; Patel et al., Splitwise, ISCA 2024.
    case azureConversation = "azure-conversation"
    /// Azure's coding service: the medians of Splitwise (1500 and 13 tokens); the spreads are an assumption.
    case azureCode = "azure-code"
    /// Mooncake's synthetic trace: kvcache-ai/Mooncake, Apache-2.0; Qin et al., FAST 2025. Lengths only: its prompts
    /// share blocks, which this fit does not.
    case mooncake

    /// What the data set itself has.
    public struct Target: Sendable, Equatable {
        public let mean: Double
        public let p50: Double
        public let p90: Double
        public let p99: Double
        /// Its quantiles.
        public let table: QuantileTable
    }

    /// What is published of the data set's lengths.
    public var published: String {
        switch self {
        case .shareGPTFirst: "the means are published (161 and 338 tokens; Kwon et al., SOSP 2023)"
        case .azureCode: "the medians are published (1500 and 13 tokens; Patel et al., ISCA 2024)"
        case .shareGPTMultiTurn, .azureConversation, .mooncake: "the whole distribution is published"
        }
    }

    public var lengths: LengthModel {
        switch self {
        case .shareGPTFirst:
            .fitted(FittedLengths(first: Tables.firstPairPrompt, answer: Tables.firstPairOutput))
        case .shareGPTMultiTurn:
            .fitted(
                FittedLengths(
                    first: Tables.shareGPTFirstText, later: Tables.shareGPTLaterText, answer: Tables.shareGPTAnswer,
                    userPersistence: 0.4, answerPersistence: 0.6))
        case .azureConversation:
            .fitted(FittedLengths(first: Tables.azurePrompt, answer: Tables.azureOutput, correlation: 0.076))
        case .azureCode:
            .logNormal(
                user: LogNormalLength(median: 1500, sigma: 0.8, cap: 7500),
                answer: LogNormalLength(median: 13, sigma: 1, cap: 2000))
        case .mooncake:
            .fitted(FittedLengths(first: Tables.mooncakePrompt, answer: Tables.mooncakeOutput, correlation: -0.534))
        }
    }

    /// The mean number of turns, before the longest context ends some conversations.
    public var meanTurns: Double { self == .shareGPTMultiTurn ? 7.3 : 1 }

    /// The most tokens of a prompt and its answer.
    public var maxContext: Int {
        switch self {
        case .shareGPTFirst: 2048
        case .shareGPTMultiTurn: 8192
        case .azureConversation, .azureCode: 16384
        case .mooncake: 200_000
        }
    }

    /// What prompts, history included, and outputs of the data set have; `nil` where it is not at hand.
    public var targets: (prompt: Target, output: Target)? {
        switch self {
        case .shareGPTMultiTurn:
            (
                Target(mean: 2340, p50: 1730, p90: 5696, p99: 7434, table: Tables.shareGPTPrompt),
                Target(mean: 438.7, p50: 415, p90: 834, p99: 998, table: Tables.shareGPTOutput)
            )
        case .azureConversation:
            (
                Target(mean: 1154.7, p50: 1020, p90: 2734, p99: 4142, table: Tables.azurePrompt),
                Target(mean: 211.1, p50: 129, p90: 424, p99: 601, table: Tables.azureOutput)
            )
        case .mooncake:
            (
                Target(mean: 15325.5, p50: 11587, p90: 38611, p99: 66456, table: Tables.mooncakePrompt),
                Target(mean: 149.1, p50: 69, p90: 389, p99: 768, table: Tables.mooncakeOutput)
            )
        case .shareGPTFirst, .azureCode: nil
        }
    }
}

/// Quantiles of the data sets at `QuantileTable.levels`, in tokens.
private enum Tables {
    static let firstPairPrompt = QuantileTable([
        5, 7, 8, 11, 13, 18, 23, 26, 31, 37, 41, 50, 58, 69, 83, 99, 117, 143, 182, 238, 310, 451, 548, 680,
        810, 950, 1067, 1130, 1181, 1213,
    ])
    static let firstPairOutput = QuantileTable([
        3, 6, 9, 15, 29, 50, 78, 127, 179, 223, 253, 282, 309, 339, 367, 398, 425, 453, 488, 529, 577, 621, 645,
        669, 683, 700, 717, 724, 730, 733,
    ])

    static let shareGPTFirstText = QuantileTable([
        1, 5, 7, 9, 11, 16, 19, 23, 27, 32, 38, 45, 54, 64, 80, 95, 115, 150, 194, 262, 384, 600, 802, 1089,
        1280, 1788, 2383, 2969, 3791, 7398,
    ])
    static let shareGPTLaterText = QuantileTable([
        1, 2, 2, 2, 3, 6, 8, 10, 13, 15, 17, 20, 23, 26, 31, 36, 42, 51, 65, 84, 124, 230, 385, 711, 1084, 1447,
        2131, 2821, 3600, 6999,
    ])
    static let shareGPTAnswer = QuantileTable([
        2, 3, 6, 20, 46, 88, 136, 189, 238, 283, 326, 362, 398, 434, 473, 515, 558, 607, 656, 714, 788, 872,
        915, 961, 991, 1019, 1024, 1024, 1024, 1024,
    ])

    static let shareGPTPrompt = QuantileTable([
        1, 9, 12, 16, 29, 74, 180, 382, 580, 777, 973, 1203, 1457, 1730, 2060, 2401, 2799, 3235, 3734, 4278,
        4918, 5696, 6104, 6563, 6852, 7164, 7434, 7622, 7761, 8141,
    ])
    static let shareGPTOutput = QuantileTable([
        2, 3, 6, 19, 44, 84, 130, 181, 228, 271, 312, 346, 381, 415, 453, 493, 534, 581, 628, 683, 754, 834,
        876, 920, 948, 975, 998, 1009, 1018, 1024,
    ])

    static let azurePrompt = QuantileTable([
        2, 17, 29, 91, 181, 207, 372, 387, 396, 403, 414, 703, 984, 1020, 1045, 1071, 1097, 1130, 1189, 1315,
        1876, 2734, 4075, 4083, 4088, 4098, 4142, 4831, 5652, 14050,
    ])
    static let azureOutput = QuantileTable([
        7, 14, 16, 24, 41, 54, 67, 77, 85, 91, 96, 103, 113, 129, 151, 177, 217, 384, 395, 400, 411, 424, 430,
        451, 490, 540, 601, 643, 917, 1000,
    ])

    static let mooncakePrompt = QuantileTable([
        13, 13, 16, 18, 22, 30, 45, 88, 277, 913, 2777, 4365, 6657, 11587, 14724, 16290, 17642, 19409, 23175,
        28425, 34319, 38611, 41325, 48905, 53311, 56631, 66456, 76328, 191367, 191378,
    ])
    static let mooncakeOutput = QuantileTable([
        1, 2, 2, 2, 2, 4, 6, 8, 11, 16, 22, 32, 49, 69, 92, 126, 169, 210, 250, 289, 332, 389, 444, 519, 584,
        689, 768, 782, 800, 893,
    ])
}
