import Foundation
import Simulator
import Testing

/// A broken law is found, named, and explained by where the run stood.
@Suite struct BrokenLawTests {
    private static func simulation(_ backend: RateBackend) throws -> Simulation<RateBackend> {
        var stream = RandomStream(seed: 4, name: "broken laws")
        var configuration = ArmConfiguration()
        configuration.device.memory = Bytes(1 << 30)
        configuration.device.hostMemory = Bytes(1 << 30)
        configuration.training.enabled = true
        let trace = SimulationTests.randomTrace(&stream, requests: 12)
        return try Simulation(configuration: configuration, trace: trace, backend: backend)
    }

    @Test("A backend that holds more than is booked breaks a law, and the state says where")
    func hoarding() throws {
        var backend = RateBackend()
        backend.arenaPeaks = [ArenaPeak(.kvBlocks, on: .device, held: Bytes(1 << 40))]
        var simulation = try Self.simulation(backend)
        #expect(throws: SimulationError.self) { _ = try simulation.run() }
        do {
            var simulation = try Self.simulation(backend)
            _ = try simulation.run()
        } catch SimulationError.brokenLaw(let law) {
            #expect(law.contains("\(1 << 40) bytes were held for kv_blocks"))
        }
        let state = simulation.stateText()
        for part in [
            "time ", "ledger in bytes", "device: capacity ", "    weights ", "kv blocks: 0 live",
            "0 running, 0 waiting, 0 of ", "no step is open", "0 pending events",
            "the server's work is done",
        ] {
            #expect(state.contains(part), "\(part) in\n\(state)")
        }
        #expect(state.utf8.count < 20_000 && state.split(separator: "\n").count > 60)
    }

    @Test("An interrupted run's state shows what is under way")
    func underWay() throws {
        var simulation = try Self.simulation(RateBackend())
        var events = 0
        let log = try simulation.run(shouldStop: {
            events += 1
            return events == 40
        })
        #expect(log.status == .interrupted)
        let state = simulation.stateText()
        #expect(state.contains("last 40 of 40 events") && state.contains("request 0 arrives"), "\(state)")
        #expect(!state.contains("\n0 pending events"))
    }

    @Test("Work that ends before it begins is told of with what happened before it")
    func backwards() async {
        await #expect(processExitsWith: .exitCode(70)) {
            Law.onBreak { law, history in
                exit(law.contains("before the present") && history.contains("request 0 arrives") ? 70 : 1)
            }
            var backend = RateBackend()
            backend.overhead = SimDuration(nanoseconds: -1_000_000_000)
            var simulation = try BrokenLawTests.simulation(backend)
            _ = try simulation.run()
        }
    }

    @Test("Bytes released twice are told of by owner and tier")
    func releasedTwice() async {
        await #expect(processExitsWith: .exitCode(70)) {
            Law.onBreak { law, _ in exit(law == "kv releases 10 bytes on the device but holds 0" ? 70 : 1) }
            var ledger = Ledger(device: Bytes(100), host: Bytes(100))
            _ = ledger.reserve(Bytes(10), for: .kv, on: .device)
            for _ in 0..<2 { ledger.release(Bytes(10), of: .kv, on: .device) }
        }
    }
}
