internal import Engine

/// Models that can be named in a scenario.
public enum Presets {
    public static let names = ModelConfig.presets.map(\.name)
}
