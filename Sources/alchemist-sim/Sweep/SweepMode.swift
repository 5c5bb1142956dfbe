import ArgumentParser

/// What a sweep's command is to do, and which options have a meaning then.
enum SweepMode: String {
    case local = "a sweep on this machine"
    case list = "--list"
    case dryRun = "--dry-run"
    case merge = "--merge"
    case points = "--point"
    case pointsFile = "--points-file"
    case slurm = "--slurm"
    case slurmDryRun = "--slurm --dry-run"
    case template = "--print-template"

    init(_ instead: InsteadOptions, _ work: WorkerOptions, _ cluster: SlurmOptions) throws {
        let modes: [(SweepMode, Bool)] = [
            (.list, instead.list), (.merge, instead.merge),
            (.dryRun, instead.dryRun && !cluster.slurm), (.slurmDryRun, instead.dryRun && cluster.slurm),
            (.slurm, cluster.slurm && !instead.dryRun && !cluster.printTemplate),
            (.template, cluster.printTemplate),
            (.points, !work.point.isEmpty), (.pointsFile, work.pointsFile != nil),
        ]
        let chosen = modes.filter(\.1).map(\.0)
        guard chosen.count < 2 else {
            throw ValidationError("\(chosen.map(\.rawValue).joined(separator: " and ")) exclude each other.")
        }
        self = chosen.first ?? .local
    }

    /// Refuses options that would be ignored.
    func check(_ options: [(name: String, isGiven: Bool)]) throws {
        for option in options where option.isGiven {
            let modes = Self.modes(of: option.name)
            guard !modes.contains(self) else { continue }
            throw ValidationError(
                "\(option.name): \(self == .local ? "" : rawValue + " makes no use of it; ")expected only with "
                    + modes.map(\.rawValue).joined(separator: ", ") + ".")
        }
    }

    private static func modes(of option: String) -> [SweepMode] {
        switch option {
        case "--jobs": [.local, .dryRun]
        case "--threads", "--allow-sharing", "--any-build":
            [.local, .list, .dryRun, .merge, .points, .pointsFile, .slurm, .slurmDryRun]
        case "--chunk": [.pointsFile]
        case "--points-per-task", "--processors": [.slurm, .slurmDryRun]
        default: [.slurm]
        }
    }
}
