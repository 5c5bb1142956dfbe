internal import Foundation

/// How the learning rate changes from step to step: up to its peak in a line, then down as the shape says.
public struct LearningRateSchedule: Sendable, Hashable {
    public enum Shape: String, Sendable, CaseIterable {
        case constant
        /// Down to a tenth of the peak in a line.
        case linear
        /// Down to a tenth of the peak in half a period of a cosine (Loshchilov and Hutter, arXiv 1608.03983).
        case cosine
    }

    /// What is left at the end.
    public static let floor = 0.1

    public var shape = Shape.constant
    /// Steps in which the rate rises.
    public var warmup = 0
    /// The step by which it has come down; it stays there.
    public var steps = 100

    public init(_ shape: Shape = .constant, warmup: Int = 0, steps: Int = 100) {
        self.shape = shape
        self.warmup = warmup
        self.steps = steps
    }

    /// The share of the peak that step `step`, counted from 0, goes at.
    public func factor(at step: Int) -> Double {
        guard step >= warmup else { return Double(step + 1) / Double(warmup + 1) }
        let progress = min(1, Double(step - warmup) / Double(max(1, steps - 1 - warmup)))
        let left: Double =
            switch shape {
            case .constant: 1
            case .linear: 1 - progress
            case .cosine: (1 + cos(.pi * progress)) / 2
            }
        return Self.floor + (1 - Self.floor) * left
    }
}
