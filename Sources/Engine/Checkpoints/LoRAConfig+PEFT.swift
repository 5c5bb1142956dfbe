extension LoRAConfig {
    /// The adapters that an `adapter_config.json` of PEFT describes. Whatever would make them compute something else
    /// than the engine does is an error; dropout concerns training only and is not read.
    init(peft file: JSONFile) throws(CheckpointError) {
        guard try file.text("peft_type") == "LORA" else { throw file.wrong("peft_type", expected: "\"LORA\"") }
        if let task = try file.text("task_type"), task != "CAUSAL_LM" {
            throw file.wrong("task_type", expected: "\"CAUSAL_LM\"")
        }
        try Self.refuseWhatIsNotComputed(file)
        let rank = try file.requiredInteger("r", in: 1...4096)
        var alpha = try file.requiredPositive("lora_alpha", most: 1e6)
        if try file.flag("use_rslora", default: false) { alpha *= Double(rank).squareRoot() }
        self.init(rank: rank, alpha: alpha, targets: try Self.targets(file))
    }

    private static func refuseWhatIsNotComputed(_ file: JSONFile) throws(CheckpointError) {
        if let bias = try file.text("bias"), bias != "none" { throw file.wrong("bias", expected: "\"none\"") }
        let flags = ["use_dora", "fan_in_fan_out", "lora_bias", "use_qalora"]
        for name in flags where try file.flag(name, default: false) { throw file.wrong(name, expected: "false") }
        // Fields that change which tensors there are or what is computed with them, unless they are empty.
        let empty = [
            "rank_pattern", "alpha_pattern", "modules_to_save", "layers_to_transform", "layers_pattern",
            "layer_replication", "exclude_modules", "trainable_token_indices", "target_parameters",
            "alora_invocation_tokens", "use_bdlora", "loftq_config",
        ]
        for name in empty {
            switch file.object[name] {
            case nil, .null, .bool(false): break
            case .array(let items) where items.isEmpty: break
            case .object(let members) where members.keys.isEmpty: break
            default: throw file.wrong(name, expected: "nothing")
            }
        }
        // These draw A and B in their own way; others, such as PiSSA, change the base weights, too.
        switch file["init_lora_weights"] {
        case nil, .bool, .string("gaussian"), .string("orthogonal"), .string("eva"): break
        default:
            throw file.wrong(
                "init_lora_weights", expected: "true, false, or a rule that leaves the base weights alone")
        }
    }

    /// `target_modules`: names as they end the modules' paths, or "all-linear".
    private static func targets(_ file: JSONFile) throws(CheckpointError) -> Set<Projection> {
        if case .string("all-linear")? = file["target_modules"] { return Set(Projection.allCases) }
        guard case .array? = file["target_modules"], let names = try file.texts("target_modules") else {
            throw file.wrong("target_modules", expected: "a list of modules, or \"all-linear\"")
        }
        var targets: Set<Projection> = []
        for name in names {
            let target = Projection.allCases.first {
                let module = TensorNames.module($0)
                return name == module || module.hasSuffix("." + name)
            }
            guard let target else {
                let known = Projection.allCases.map { "\($0.rawValue)_proj" }.joined(separator: ", ")
                throw CheckpointError(
                    file.path,
                    .field(
                        "target_modules", found: "`\(name.shown)`", expected: "modules of each layer among \(known)"))
            }
            targets.insert(target)
        }
        guard !targets.isEmpty else { throw file.wrong("target_modules", expected: "at least one module") }
        return targets
    }

    /// The `adapter_config.json` that PEFT reads these adapters from.
    func peftText(base: String) -> String {
        var text = JSONText()
        text.add("peft_type", "LORA")
        text.add("task_type", "CAUSAL_LM")
        text.add("base_model_name_or_path", base)
        text.add("bias", "none")
        text.add("fan_in_fan_out", false)
        text.add("inference_mode", true)
        text.add("init_lora_weights", true)
        text.add("lora_alpha", alpha, wholeIfPossible: true)
        text.add("lora_dropout", 0.0)
        text.add("r", rank)
        text.add("target_modules", Projection.allCases.filter(targets.contains).map { "\($0.rawValue)_proj" })
        text.add("use_dora", false)
        text.add("use_rslora", false)
        return text.text
    }
}
