import Simulator
import Testing

/// A trainer that recomputes and has its own activations on the host until its backward pass wants them.
@Suite struct ActivationOffloadTests {
    private static let sizes = [30, 30, 30, 30, 10].map { Bytes($0) }

    /// Every layer is on the device when it is written and when it is read, whatever the order in which copies end, and no
    /// more is held than there is room for.
    @Test(arguments: 0...5, 0..<20) func theWindowHoldsWhatIsInUse(ahead: Int, seed: Int) {
        var offload = ActivationOffload(sizes: Self.sizes, ahead: ahead)
        var stream = RandomStream(seed: UInt64(seed), name: "offload")
        #expect(offload.leaving == max(0, 4 - ahead))
        #expect(offload.hostBytes == Self.sizes[..<offload.leaving].reduce(.zero, +))
        var out: [Int] = []
        var back: [Int] = []
        func finishSomeCopy() -> Bool {
            if !out.isEmpty, back.isEmpty || stream.below(2) == 0 {
                offload.arrivedOnHost(out.removeFirst())
            } else if !back.isEmpty {
                offload.arrivedOnDevice(back.removeFirst())
            } else {
                return false
            }
            return true
        }
        func waitFor(_ layer: Int) {
            back += offload.next().map(\.layer)
            while !offload.isOnDevice(layer) {
                guard finishSomeCopy() else {
                    Issue.record("layer \(layer) never comes")
                    return
                }
                back += offload.next().map(\.layer)
            }
            while stream.below(3) == 0, finishSomeCopy() {}
            #expect(offload.heldBytes <= offload.windowBytes && offload.isOnDevice(layer))
        }
        var copied = Bytes.zero
        for layer in 0..<5 {
            waitFor(layer)
            if let bytes = offload.finishedForward(layer) {
                out.append(layer)
                copied += bytes
            }
        }
        #expect(copied == offload.hostBytes)
        for layer in (0..<5).reversed() {
            waitFor(layer)
            offload.finishedBackward(layer)
        }
        #expect(out.isEmpty && back.isEmpty && offload.heldBytes == .zero)
    }

    /// An arm that recomputes, with six layers, on links of several speeds.
    private static func run(offloads: Bool, bandwidth: Double, ahead: Int = 1, checkpointing: Checkpointing = .none)
        throws -> ArmLog
    {
        var model = ModelShape.tiny
        model.layers = 6
        var configuration = ArmConfiguration(seed: 1)
        configuration.training.enabled = true
        configuration.training.checkpointing = checkpointing
        configuration.training.offloadsActivations = offloads
        configuration.training.activationsAhead = ahead
        configuration.training.updateEvery = 2
        configuration.device.linkBandwidth = bandwidth
        let requests = (0..<6).map { index in
            Request(
                id: "r\(index)", arrival: SimTime(nanoseconds: Int64(index) * 1_000_000), promptTokens: 60,
                outputTokens: 8,
                feedback: .given(Feedback(delay: SimDuration(nanoseconds: 10_000), signal: .sft())))
        }
        let backend = RateBackend(
            model: model, plans: SavePlans(checkpointing: checkpointing))
        var simulation = try Simulation(
            configuration: configuration, trace: Trace(source: "test", requests: requests), backend: backend)
        simulation.checksEveryEvent = true
        return try simulation.run()
    }

    @Test(arguments: Checkpointing.allCases) func itTakesLessOfTheDeviceAndSomeOfTheHost(checkpointing: Checkpointing)
        throws
    {
        let kept = try Self.run(offloads: false, bandwidth: 1e11, checkpointing: checkpointing)
        let offloaded = try Self.run(offloads: true, bandwidth: 1e11, checkpointing: checkpointing)
        let owner = MemoryOwner.trainActivations.rawValue
        #expect(offloaded.memory.device.peakByOwner[owner] < kept.memory.device.peakByOwner[owner])
        // Four of six layers are away, and the window has two.
        let host = offloaded.memory.host.peakByOwner[owner]
        #expect(host > .zero && kept.memory.host.peakByOwner[owner] == .zero)
        #expect(offloaded.memory.trainingPeak < kept.memory.trainingPeak)
        // What leaves comes back, four layers of each micro-batch.
        let out = offloaded.transfers.filter { $0.direction == .toHost }
        let back = offloaded.transfers.filter { $0.direction == .toDevice }
        let microBatches = offloaded.steps.reduce(0) { $0 + $1.microBatches }
        #expect(out.count == 4 * microBatches && back.count == out.count)
        #expect(out.reduce(Bytes.zero) { $0 + $1.bytes } == back.reduce(Bytes.zero) { $0 + $1.bytes })
        #expect(
            Array(out.prefix(4).map(\.layer)) == [0, 1, 2, 3] && Array(back.prefix(4).map(\.layer)) == [3, 2, 1, 0])
        #expect(kept.steps.count == offloaded.steps.count && kept.transfers.isEmpty)
    }

    /// A slow link makes the trainer wait, forward for room and backward for what comes back; work itself is the same.
    @Test func aSlowLinkStalls() throws {
        let logs = try [1e12, 1e9, 1e7].map { try Self.run(offloads: true, bandwidth: $0) }
        let stalls = logs.map { $0.steps.reduce(SimDuration.zero) { $0 + $1.stall } }
        #expect(stalls[0] < stalls[1] && stalls[1] < stalls[2])
        let work = logs.map { $0.steps.reduce(SimDuration.zero) { $0 + $1.time.total } }
        #expect(work[0] == work[1] && work[1] == work[2])
    }
}
