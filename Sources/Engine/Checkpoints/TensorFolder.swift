internal import Glibc

/// The tensors of a folder: one safetensors file, or shards that an index tells apart.
struct TensorFolder: Sendable {
    /// Where a tensor is.
    struct Tensor: Sendable {
        let file: SafetensorsFile
        let entry: SafetensorsHeader.Entry
    }

    /// What the tensors are told by: the single file, or the index.
    let path: String
    /// In order of name.
    let files: [SafetensorsFile]
    /// In the order of the files.
    private(set) var names: [String] = []
    private(set) var tensors: [String: Tensor] = [:]

    /// The tensors of `file` in `folder`, or where that is missing of the shards in `file.index.json`.
    init(_ folder: String, file: String) throws(CheckpointError) {
        let single = folder + "/" + file
        let index = single + ".index.json"
        if access(single, F_OK) != 0, access(index, F_OK) == 0 {
            path = index
            let shards = try Self.shards(index)
            var files: [SafetensorsFile] = []
            for name in Set(shards.values).sorted() {
                let file = try SafetensorsFile(folder + "/" + name)
                for tensor in file.header.names where shards[tensor] != name {
                    throw CheckpointError(
                        file.path,
                        .tensor(
                            tensor.shown, found: "it here",
                            expected: "it where the index says, \(shards[tensor].map { $0.shown } ?? "nowhere")"))
                }
                files.append(file)
            }
            self.files = files
            for file in files { add(file) }
            for (tensor, name) in shards.sorted(by: { $0.key < $1.key }) where tensors[tensor] == nil {
                throw CheckpointError(
                    index,
                    .tensor(tensor.shown, found: "shard \(name.shown) without it", expected: "it in that shard"))
            }
        } else {
            path = single
            files = [try SafetensorsFile(single)]
            for file in files { add(file) }
        }
    }

    private mutating func add(_ file: SafetensorsFile) {
        for name in file.header.names {
            guard let entry = file.header[name] else { continue }
            names.append(name)
            tensors[name] = Tensor(file: file, entry: entry)
        }
    }

    /// The index's map from tensors to shards.
    private static func shards(_ path: String) throws(CheckpointError) -> [String: String] {
        let file = try JSONFile(path)
        guard let map = try file.nested("weight_map") else {
            throw file.wrong("weight_map", expected: "an object from tensors to shards")
        }
        var shards: [String: String] = [:]
        for tensor in map.object.keys {
            guard let name = try map.text(tensor), isPlainName(name) else {
                throw map.wrong(tensor, expected: "the name of a safetensors file in the same folder")
            }
            shards[tensor] = name
        }
        guard !shards.isEmpty else { throw file.wrong("weight_map", expected: "at least one tensor") }
        return shards
    }

    /// Whether a shard's name stays within its folder.
    private static func isPlainName(_ name: String) -> Bool {
        name.hasSuffix(".safetensors") && !name.utf8.contains { $0 == UInt8(ascii: "/") || $0 == 0 }
    }

    /// Checks that the folder has the tensors at `places`, of their shapes and of a type that can be read, and no others
    /// but those that `isIgnored` accepts.
    func check(_ places: [TensorPlace], ignoring isIgnored: (String) -> Bool) throws(CheckpointError) {
        var wanted: Set<String> = []
        for place in places {
            wanted.insert(place.name)
            guard let tensor = tensors[place.name] else {
                throw CheckpointError(
                    path,
                    .tensor(
                        place.name, found: "nothing of that name",
                        expected: "a tensor of shape \(place.shape.shownShape)"))
            }
            let entry = tensor.entry
            guard entry.shape == place.shape else {
                throw CheckpointError(
                    tensor.file.path,
                    .tensor(
                        place.name, found: "shape \(entry.shape.shownShape)",
                        expected: "\(place.shape.shownShape), by the configuration"))
            }
            guard TensorType.readable.contains(entry.type) else {
                let readable = TensorType.readable.map(\.name).joined(separator: ", ")
                throw CheckpointError(
                    tensor.file.path,
                    .tensor(place.name, found: "type \(entry.type.name.shown)", expected: "one of \(readable)"))
            }
        }
        let others = names.filter { !wanted.contains($0) && !isIgnored($0) }
        guard let first = others.first else { return }
        let listed = others.prefix(3).map { "`\($0.shown)`" }.joined(separator: ", ")
        throw CheckpointError(
            tensors[first]?.file.path ?? path,
            .file(
                found: "\(others.count) tensors that the configuration does not know: \(listed)"
                    + (others.count > 3 ? ", ..." : ""), expected: "none"))
    }
}
