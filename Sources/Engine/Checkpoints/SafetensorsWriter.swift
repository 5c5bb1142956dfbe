/// How a checkpoint's floats are stored.
public enum CheckpointPrecision: String, Sendable, CaseIterable {
    case float32, bfloat16

    var type: TensorType {
        switch self {
        case .float32: .float32
        case .bfloat16: .bfloat16
        }
    }

    var bytesPerFloat: Int { self == .float32 ? 4 : 2 }
}

/// Writes safetensors files.
enum SafetensorsWriter {
    /// Floats that are converted and written at a time.
    private static let chunk = 1 << 16

    /// Writes the tensors at `places` of an arena as `name` in `folder`: under a temporary name, renamed when whole.
    static func write(
        _ places: [TensorPlace], of arena: FloatBuffer, as name: String, in folder: String,
        precision: CheckpointPrecision
    ) throws(CheckpointError) {
        let file = try StagedCheckpoint(name, in: folder)
        try file.write(header(places, precision))
        for place in places {
            let floats = UnsafeBufferPointer(rebasing: arena.floats[place.range])
            switch precision {
            case .float32: try file.write(UnsafeRawBufferPointer(floats))
            case .bfloat16: try writeRounded(floats, to: file)
            }
        }
        try file.commit()
    }

    /// Length and JSON, padded with spaces so that the data starts at a multiple of 8.
    private static func header(_ places: [TensorPlace], _ precision: CheckpointPrecision) -> [UInt8] {
        var text = "{\"__metadata__\":{\"format\":\"pt\"}"
        var offset = 0
        for place in places {
            let end = offset + place.range.count * precision.bytesPerFloat
            let shape = place.shape.map(String.init).joined(separator: ",")
            text += ",\(JSONText.quoted(place.name)):{\"dtype\":\"\(precision.type.name)\",\"shape\":[\(shape)],"
            text += "\"data_offsets\":[\(offset),\(end)]}"
            offset = end
        }
        text += "}"
        text += String(repeating: " ", count: (8 - text.utf8.count % 8) % 8)
        let length = UInt64(text.utf8.count)
        return (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) } + text.utf8
    }

    private static func writeRounded(
        _ floats: UnsafeBufferPointer<Float>, to file: borrowing StagedCheckpoint
    ) throws(CheckpointError) {
        guard let base = floats.baseAddress else { return }
        let rounded = UnsafeMutableBufferPointer<UInt16>.allocate(capacity: chunk)
        defer { rounded.deallocate() }
        guard let target = rounded.baseAddress else { return }
        for start in stride(from: 0, to: floats.count, by: chunk) {
            let count = min(chunk, floats.count - start)
            FloatConversion.roundToBFloat16(base + start, to: target, count: count)
            try file.write(UnsafeRawBufferPointer(start: target, count: 2 * count))
        }
    }
}
