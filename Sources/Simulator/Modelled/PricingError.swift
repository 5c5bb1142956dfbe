/// Why a plan has no price.
public enum PricingError: Error, Sendable, Equatable, CustomStringConvertible {
    /// A price below what the hardware can do: a bug, or a profile that contradicts itself.
    case belowFloor(shape: String, price: Double, floor: Double)
    /// A replay met a plan that was not executed, or not so often, when the costs were recorded.
    case missingShape(String, execution: Int, recorded: Int)

    public var description: String {
        switch self {
        case .belowFloor(let shape, let price, let floor):
            "`\(shape)` is priced at \(Self.microseconds(price)), below the \(Self.microseconds(floor)) that "
                + "the hardware takes at least"
        case .missingShape(let shape, _, 0): "the recorded costs have no plan `\(shape)`"
        case .missingShape(let shape, let execution, let recorded):
            "the recorded costs have `\(shape)` \(recorded) times, and it is executed for the \(execution)th time"
        }
    }

    private static func microseconds(_ seconds: Double) -> String { (seconds * 1e6).formatted(decimals: 3) + " us" }
}
