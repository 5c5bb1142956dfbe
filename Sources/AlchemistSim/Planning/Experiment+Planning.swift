internal import Simulator

extension Experiment {
    /// The experiment with a plan in place of every `recording.plan: auto`, found on each arm's hardware, and written into
    /// its scenario, so that a replay takes the same.
    func planned(on source: some BackendSource) throws -> Experiment {
        var hardware: [String: Hardware] = [:]
        for arm in arms where arm.configuration.recording.choosesPlan {
            hardware[arm.name] = try source.hardware(for: arm)
        }
        return try planned { hardware[$0.name] }
    }

    /// The same with the hardware of the arms given.
    func planned(on hardware: (Arm) -> Hardware?) throws(ExperimentError) -> Experiment {
        var planned = self
        for (index, arm) in arms.enumerated() where arm.configuration.recording.choosesPlan {
            guard let hardware = hardware(arm) else { continue }
            let plan = plan(of: arm, on: hardware)
            planned.scenario.setPlan(plan, ofArm: index)
            var configuration = arm.configuration
            configuration.recording.choosesPlan = false
            configuration.recording.plan = plan
            let requirement = MemoryRequirement(
                configuration: configuration, trace: trace,
                demand: ArmDemand(model.config, configuration, on: modelledHardware, threads: threads))
            do { try requirement.check(configuration.device) } catch { throw .arm(arm.name, error) }
            planned.arms[index] = Arm(name: arm.name, configuration: configuration)
        }
        return planned
    }

    /// The one that trains fastest; the one that keeps least where nothing is learned from.
    private func plan(of arm: Arm, on hardware: Hardware) -> LayerPlans {
        guard let workload = PlannedWorkload(of: trace, arm.configuration) else {
            return arm.configuration.recording.plan
        }
        let planning = SavePlanning(model: model.config, hardware: hardware, threads: threads)
        let memory = planning.recordMemory(of: arm.configuration, trace)
        let planner = planning.planner(for: arm.configuration, workload, recordMemory: memory)
        guard let best = planner.search().best else { return arm.configuration.recording.plan }
        return LayerPlans(layers: best.layers.shortest)
    }
}

extension Scenario {
    fileprivate mutating func setPlan(_ plan: LayerPlans, ofArm index: Int) {
        arms[index].settings.removeAll { $0.path == "recording.plan" }
        arms[index].settings.append(ArmSpecification.Setting(path: "recording.plan", value: plan.text))
    }
}
