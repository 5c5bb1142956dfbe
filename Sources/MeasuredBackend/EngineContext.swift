public import Engine
public import Simulator

/// The engine's model and scratch, warmed up and calibrated once, and shared by arms that run in turn.
public final class EngineContext {
    /// Loss rows whose logits exist at a time.
    static let lossChunk = 64

    /// What arms start from.
    let start: StartingModel
    public let pool: ThreadPool
    public var config: ModelConfig { start.config }
    let transformer: Transformer
    /// What quanta are expected to cost.
    var calibration = Calibration.nominal
    private var workspace: TrainingWorkspace

    /// A model whose parameters are drawn from each arm's seed.
    public convenience init(
        _ config: ModelConfig, pool: ThreadPool, training: TrainingConfiguration, serving: ServingConfiguration
    ) throws {
        try self.init(StartingModel(config), pool: pool, training: training, serving: serving)
    }

    /// - Parameters:
    ///   - start: what arms start from.
    ///   - training: how the arms will train; it decides what is calibrated.
    ///   - serving: how large iterations get.
    public init(
        _ start: StartingModel, pool: ThreadPool, training: TrainingConfiguration, serving: ServingConfiguration
    ) throws {
        self.start = start
        self.pool = pool
        transformer = Transformer(start.config, pool: pool)
        workspace = TrainingWorkspace(transformer, unitRows: 512, lossChunk: Self.lossChunk)
        calibration = try Calibrator(self, training: training, serving: serving).run()
    }

    /// Scratch for units of at most `unitRows` rows.
    func workspace(unitRows: Int) -> TrainingWorkspace {
        if workspace.unitRows < unitRows {
            workspace = TrainingWorkspace(transformer, unitRows: unitRows, lossChunk: Self.lossChunk)
        }
        return workspace
    }

    /// Scratch for a pass in whole layers, apart from the one that a step in progress uses.
    func auditWorkspace(rows: Int) -> TrainingWorkspace {
        TrainingWorkspace(transformer, unitRows: rows, lossChunk: Self.lossChunk)
    }
}
