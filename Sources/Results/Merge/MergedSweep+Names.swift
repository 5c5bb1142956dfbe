extension MergedSweep {
    /// Names in a merged file that no axis can have: figures in all their forms, groups, and what is said of points.
    public static let reservedNames: Set<String> = {
        var names: Set<String> = [
            "arm", "comparison", "paired", "over_seeds", "over_seeds_comparison", "over_seeds_paired", "points",
            "point_id", "point_status",
        ]
        for figure in ArmSummary.metrics.map(\.name) + Comparison.metrics.map(\.name) {
            for ending in ["", "_min", "_max", "_mean", "_ci95", "_n"] { names.insert(figure + ending) }
        }
        return names
    }()
}
