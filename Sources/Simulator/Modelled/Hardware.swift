/// What work is priced on: a machine whose operators were measured one by one, or an accelerator that formulas describe.
public enum Hardware: Sendable, Equatable {
    case machine(HardwareProfile)
    case accelerator(Accelerator, AcceleratorSetting)

    /// Bytes of one stored value.
    public var widths: ValueWidths {
        switch self {
        case .machine: .fp32
        case .accelerator(_, let setting): setting.widths
        }
    }

    public var limits: PhysicalLimits {
        switch self {
        case .machine(let profile): profile.limits
        case .accelerator(let accelerator, let setting): accelerator.limits(setting)
        }
    }

    /// Operators as this hardware executes them.
    public func operators(of model: ModelShape, _ tuning: Tuning) -> OperatorList {
        switch self {
        case .machine: OperatorList(model: model, tuning: tuning)
        case .accelerator:
            OperatorList(
                model: model, tuning: tuning, widths: widths, lossChunk: AcceleratorDemand.lossChunk,
                batchesRows: true)
        }
    }
}
