internal import Glibc

/// A model in a folder of Hugging Face's layout: `config.json`, and `model.safetensors` or shards with an index.
///
/// Opening reads the configuration and the headers, and checks names, shapes and types; values are read by `weights`.
/// `docs/checkpoints.md` says what is supported.
public final class ModelCheckpoint: Sendable {
    /// The folder, without a slash at its end.
    public let folder: String
    /// The model's sizes; its name is the folder's.
    public let config: ModelConfig
    private let tensors: TensorFolder
    private let places: [TensorPlace]

    /// Opens a folder.
    ///
    /// - Throws: an error that names the file and the field or tensor.
    public init(_ folder: String) throws(CheckpointError) {
        let folder = try Self.checked(folder)
        self.folder = folder
        let name = folder.split(separator: "/").last.map(String.init) ?? folder
        config = try ModelConfig(huggingFace: JSONFile(folder + "/config.json"), name: name)
        tensors = try TensorFolder(folder, file: "model.safetensors")
        places = WeightsLayout(config).places(config)
        let hasTiedHead = config.tiedHead
        try tensors.check(places) { name in
            TensorNames.isKnownBuffer(name) || hasTiedHead && name == TensorNames.head
        }
    }

    /// Bytes of the weights as they are stored.
    public var byteCount: Int { tensors.files.reduce(0) { $0 + $1.file.count } }

    /// Reads all weights.
    ///
    /// - Throws: an error for a value that is not finite, a head that differs from the embedding it is tied to, and a
    ///   file that changed or can not be read.
    public func weights(pool: ThreadPool) throws(CheckpointError) -> Weights {
        let weights = Weights(zeros: config)
        try read(into: weights, pool: pool)
        return weights
    }

    /// The same over weights of a model of the same sizes.
    public func read(into weights: Weights, pool: ThreadPool) throws(CheckpointError) {
        precondition(weights.config == config, "these weights belong to another model")
        try checkTiedHead()
        try tensors.load(places, into: weights.buffer, pool: pool)
    }

    /// Hands out the bytes of the safetensors files, in order of name, for a hash of them.
    public func readBytes(_ body: (UnsafeRawBufferPointer) -> Void) throws(CheckpointError) {
        try tensors.readBytes(body)
    }

    /// Some checkpoints hold the head although it is the embedding; then it has to be.
    private func checkTiedHead() throws(CheckpointError) {
        guard config.tiedHead, let head = tensors.tensors[TensorNames.head],
            let table = tensors.tensors[TensorNames.embedding]
        else { return }
        try head.file.file.prepare(head.entry.bytes)
        try table.file.file.prepare(table.entry.bytes)
        let isSame =
            head.entry.type == table.entry.type && head.entry.shape == table.entry.shape
            && head.file.file.bytes[head.entry.bytes].elementsEqual(table.file.file.bytes[table.entry.bytes])
        guard isSame else {
            throw CheckpointError(
                head.file.path,
                .tensor(
                    TensorNames.head, found: "values that differ from \(TensorNames.embedding)",
                    expected: "the same, because tie_word_embeddings is true"))
        }
    }

    /// A folder's path without slashes at its end.
    ///
    /// - Throws: an error when there is no such folder.
    static func checked(_ folder: String) throws(CheckpointError) -> String {
        var path = folder
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        var status = stat()
        guard stat(path, &status) == 0 else {
            throw CheckpointError(folder, .system(action: "open this folder", code: errno))
        }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            throw CheckpointError(folder, .system(action: "open this folder", code: ENOTDIR))
        }
        return path
    }
}

extension TensorFolder {
    /// Hands out the bytes of the files, in order of name, some megabytes at a time.
    func readBytes(_ body: (UnsafeRawBufferPointer) -> Void) throws(CheckpointError) {
        let chunk = 8 << 20
        for file in files.map(\.file) {
            for start in stride(from: 0, to: file.count, by: chunk) {
                let range = start..<min(start + chunk, file.count)
                try file.prepare(range)
                body(UnsafeRawBufferPointer(rebasing: file.bytes[range]))
            }
        }
    }
}

extension ModelCheckpoint {
    /// Writes a model as a folder that transformers and this engine read. What stands there under the same names is
    /// replaced, each file when the new one is whole.
    public static func write(
        _ weights: Weights, to folder: String, precision: CheckpointPrecision = .float32
    ) throws(CheckpointError) {
        let places = weights.layout.places(weights.config)
        try SafetensorsWriter.write(
            places, of: weights.buffer, as: "model.safetensors", in: folder, precision: precision)
        let config = try StagedCheckpoint("config.json", in: folder)
        try config.write(weights.config.huggingFaceText(precision: precision))
        try config.commit()
    }
}
