/// A safetensors file open for reading: its header, checked, and the bytes that it tells of.
final class SafetensorsFile: Sendable {
    let header: SafetensorsHeader
    let file: MappedFile
    var path: String { file.path }

    init(_ path: String) throws(CheckpointError) {
        file = try MappedFile(path)
        try file.prepare(0..<SafetensorsHeader.end(file.bytes))
        header = try SafetensorsHeader(file.bytes, path: path)
    }
}
