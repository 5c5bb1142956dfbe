/// The activations of the trainer's own forward pass, as far as they leave the device until the backward pass.
///
/// The device has room for a window of layers. The forward pass writes a layer when there is room for it; when it is
/// through with a layer that is not among the window's last, the layer is copied to the host, and its room is free when
/// the copy is done. Once the forward pass is done the layers come back from the last to the first, as far ahead of the
/// backward pass as there is room.
public struct ActivationOffload: Sendable, Equatable {
    private enum Place: Sendable {
        /// The forward pass has not come to it, or the backward pass is through with it.
        case nowhere
        case device
        /// Its copy to the host is asked for, or under way; the device has it until then.
        case leaving
        case host
        /// Its copy back is asked for, or under way; the device has room for it.
        case returning
    }

    /// By layer.
    private let sizes: [Bytes]
    /// Layers that leave: all but the last ones, which the backward pass wants first.
    public let leaving: Int
    /// Room on the device.
    public let windowBytes: Bytes
    /// Room on the host.
    public let hostBytes: Bytes
    private var places: [Place]
    private var room: Bytes
    /// The next layer that the forward pass has no room for yet.
    private var nextForward = 0
    /// The next layer to come back; below zero when all have.
    private var nextReturn: Int
    private var forwardIsDone = false

    /// - Parameters:
    ///   - sizes: what the forward pass keeps in each layer.
    ///   - ahead: layers that may be on the device beside the one in use.
    public init(sizes: [Bytes], ahead: Int) {
        self.sizes = sizes
        let window = min(sizes.count, ahead + 1)
        leaving = sizes.count - window
        windowBytes = (0...leaving).map { sizes[$0..<$0 + window].reduce(.zero, +) }.max() ?? .zero
        hostBytes = sizes[..<leaving].reduce(.zero, +)
        places = sizes.map { _ in .nowhere }
        room = windowBytes
        nextReturn = leaving - 1
        admit()
    }

    /// Gives room to the layers that come next in the forward pass.
    private mutating func admit() {
        while nextForward < sizes.count, sizes[nextForward] <= room {
            room -= sizes[nextForward]
            places[nextForward] = .device
            nextForward += 1
        }
    }

    /// Whether a layer's activations are on the device, or can be written there.
    public func isOnDevice(_ layer: Int) -> Bool { places[layer] == .device || places[layer] == .leaving }

    /// What layers hold on the device.
    public var heldBytes: Bytes {
        zip(places, sizes).reduce(.zero) { sum, layer in
            layer.0 == .nowhere || layer.0 == .host ? sum : sum + layer.1
        }
    }

    /// Whether the backward pass is through with a layer.
    public func isUsedUp(_ layer: Int) -> Bool { forwardIsDone && places[layer] == .nowhere }

    /// The forward pass is through with `layer`.
    ///
    /// - Returns: what is to be copied to the host, if anything.
    public mutating func finishedForward(_ layer: Int) -> Bytes? {
        if layer == sizes.count - 1 { forwardIsDone = true }
        guard layer < leaving else { return nil }
        places[layer] = .leaving
        // A layer without bytes has nowhere to go.
        guard sizes[layer] > .zero else {
            arrivedOnHost(layer)
            return nil
        }
        return sizes[layer]
    }

    public mutating func arrivedOnHost(_ layer: Int) {
        places[layer] = .host
        room += sizes[layer]
        admit()
    }

    /// The copies back that can be asked for now.
    public mutating func next() -> [(layer: Int, bytes: Bytes)] {
        var copies: [(layer: Int, bytes: Bytes)] = []
        while forwardIsDone, nextReturn >= 0, places[nextReturn] == .host, sizes[nextReturn] <= room {
            room -= sizes[nextReturn]
            if sizes[nextReturn] > .zero {
                places[nextReturn] = .returning
                copies.append((nextReturn, sizes[nextReturn]))
            } else {
                places[nextReturn] = .device
            }
            nextReturn -= 1
        }
        return copies
    }

    public mutating func arrivedOnDevice(_ layer: Int) { places[layer] = .device }

    /// The backward pass is through with `layer`.
    public mutating func finishedBackward(_ layer: Int) {
        places[layer] = .nowhere
        room += sizes[layer]
    }
}

extension TrainingConfiguration {
    /// How the trainer's own activations leave the device; nil if they stay.
    public func offload(of activations: [Bytes]) -> ActivationOffload? {
        offloadsActivations ? ActivationOffload(sizes: activations, ahead: activationsAhead) : nil
    }
}
