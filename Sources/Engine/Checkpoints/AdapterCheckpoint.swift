/// LoRA adapters in a folder of PEFT's layout: `adapter_config.json` and `adapter_model.safetensors`.
///
/// Opening reads the configuration; the tensors are checked and read by `adapters`, which needs the model.
public struct AdapterCheckpoint: Sendable {
    /// The folder, without a slash at its end.
    public let folder: String
    /// Rank, alpha and targets. With rank-stabilised scaling, alpha / sqrt(rank), alpha is the one whose quotient by the
    /// rank is that scale.
    public let lora: LoRAConfig
    private let tensors: TensorFolder

    private static let file = "adapter_model.safetensors"

    /// Opens a folder.
    ///
    /// - Throws: an error that names the file and the field or tensor.
    public init(_ folder: String) throws(CheckpointError) {
        let folder = try ModelCheckpoint.checked(folder)
        self.folder = folder
        lora = try LoRAConfig(peft: JSONFile(folder + "/adapter_config.json"))
        tensors = try TensorFolder(folder, file: Self.file)
    }

    /// Checks that the adapters fit a model.
    ///
    /// - Throws: an error that names a tensor that is missing, of another shape or type, or unknown.
    public func check(for config: ModelConfig) throws(CheckpointError) {
        try tensors.check(AdaptersLayout(config, lora).places(lora)) { _ in false }
    }

    /// Reads all adapters of a model.
    ///
    /// - Throws: what `check` throws, and an error for a value that is not finite.
    public func adapters(for config: ModelConfig, pool: ThreadPool) throws(CheckpointError) -> Adapters {
        try check(for: config)
        let adapters = Adapters(config, lora, seed: 0)
        try tensors.load(adapters.layout.places(lora), into: adapters.buffer, pool: pool)
        return adapters
    }

    /// Hands out the bytes of the safetensors file, for a hash of them.
    public func readBytes(_ body: (UnsafeRawBufferPointer) -> Void) throws(CheckpointError) {
        try tensors.readBytes(body)
    }

    /// Writes adapters as a folder that PEFT and this engine read; `base` names the model that they belong to.
    public static func write(
        _ adapters: Adapters, base: String, to folder: String, precision: CheckpointPrecision = .float32
    ) throws(CheckpointError) {
        try SafetensorsWriter.write(
            adapters.layout.places(adapters.lora), of: adapters.buffer, as: file, in: folder, precision: precision)
        let config = try StagedCheckpoint("adapter_config.json", in: folder)
        try config.write(adapters.lora.peftText(base: base))
        try config.commit()
    }
}
