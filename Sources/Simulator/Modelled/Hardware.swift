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
    ///
    /// - Parameter footprint: model, tuning, and what is kept between forward and backward.
    public func operators(of footprint: Footprint) -> OperatorList {
        switch self {
        case .machine: return OperatorList(footprint)
        case .accelerator:
            var footprint = footprint
            footprint.widths = widths
            return OperatorList(footprint, lossChunk: AcceleratorDemand.lossChunk, batchesRows: true)
        }
    }
}
