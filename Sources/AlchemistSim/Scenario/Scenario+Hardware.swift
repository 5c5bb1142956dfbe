internal import Simulator

extension Scenario {
    /// Share of an accelerator's memory that is used by default, as vLLM's `gpu_memory_utilization`.
    private static let acceleratorUtilization = 0.9

    /// The scenario with the defaults of the hardware in the fields of `device` that nobody set.
    func adopting(_ hardware: Hardware) -> Scenario {
        guard case .accelerator(let accelerator, let setting) = hardware else { return self }
        var scenario = self
        let figures = accelerator.figures
        let devices = setting.tensorParallel
        func adopt(_ name: String, _ change: (inout Scenario) -> Void) {
            if origins[ScenarioField.devicePrefix + name] == nil { change(&scenario) }
        }
        adopt("memory") { $0.base.device.memory = figures.memory * devices }
        adopt("host_memory") { $0.base.device.hostMemory = figures.hostMemory * devices }
        adopt("link_bandwidth") { $0.base.device.linkBandwidth = figures.hostLink * Double(devices) }
        adopt("memory_utilization") { $0.base.device.memoryUtilization = Self.acceleratorUtilization }
        return scenario
    }
}
