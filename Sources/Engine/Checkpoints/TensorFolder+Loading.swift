extension TensorFolder {
    /// Values that one thread converts at a time: some hundred kilobytes, so that threads share even a small tensor.
    private static let chunk = 1 << 17

    /// A part of a tensor.
    private struct Part {
        let place: Int
        let tensor: Tensor
        let values: Range<Int>
    }

    /// Reads the tensors at `places`, which `check` has accepted, into an arena, converted to `Float`.
    ///
    /// - Throws: an error for a value that is not finite, and for a file that changed or can not be read.
    func load(_ places: [TensorPlace], into arena: FloatBuffer, pool: ThreadPool) throws(CheckpointError) {
        var parts: [Part] = []
        for (index, place) in places.enumerated() {
            guard let tensor = tensors[place.name] else { continue }
            precondition(tensor.entry.shape == place.shape && place.range.upperBound <= arena.count, "not checked")
            for start in stride(from: 0, to: place.count, by: Self.chunk) {
                parts.append(
                    Part(place: index, tensor: tensor, values: start..<min(start + Self.chunk, place.count)))
            }
        }
        // A place for each part, so that the first failure in the order of the tensors is reported, whichever thread met
        // which first.
        var failures = [CheckpointError?](repeating: nil, count: parts.count)
        failures.withUnsafeMutableBufferPointer { failures in
            pool.parallel(parts.count) { index, _ in
                let part = parts[index]
                do throws(CheckpointError) {
                    let isFinite = try Self.convert(part, to: arena.base + places[part.place].offset)
                    if !isFinite { failures[index] = notFinite(part, places) }
                } catch {
                    failures[index] = error
                }
            }
        }
        for case let failure? in failures { throw failure }
    }

    /// Converts a part; false when one of its values is not finite.
    private static func convert(_ part: Part, to tensor: UnsafeMutablePointer<Float>) throws(CheckpointError) -> Bool {
        let entry = part.tensor.entry
        let size = entry.type == .float32 ? 4 : 2
        let start = entry.bytes.lowerBound + part.values.lowerBound * size
        let file = part.tensor.file.file
        try file.prepare(start..<start + part.values.count * size)
        guard let base = file.bytes.baseAddress else { return true }
        let target = tensor + part.values.lowerBound
        let count = part.values.count
        return withExtendedLifetime(file) {
            switch entry.type {
            case .bfloat16: FloatConversion.fromBFloat16(base + start, to: target, count: count)
            case .float16: FloatConversion.fromFloat16(base + start, to: target, count: count)
            default: FloatConversion.fromFloat32(base + start, to: target, count: count)
            }
        }
    }

    /// The error for the first value of a part that is not finite, as the file has it.
    private func notFinite(_ part: Part, _ places: [TensorPlace]) -> CheckpointError {
        let entry = part.tensor.entry
        let bytes = part.tensor.file.file.bytes
        for index in part.values {
            let value: Float
            switch entry.type {
            case .float32:
                let bits = bytes.loadUnaligned(fromByteOffset: entry.bytes.lowerBound + 4 * index, as: UInt32.self)
                value = Float(bitPattern: bits)
            case .bfloat16:
                let bits = bytes.loadUnaligned(fromByteOffset: entry.bytes.lowerBound + 2 * index, as: UInt16.self)
                value = Float(bitPattern: UInt32(bits) << 16)
            default:
                let bits = bytes.loadUnaligned(fromByteOffset: entry.bytes.lowerBound + 2 * index, as: UInt16.self)
                value = Float(Float16(bitPattern: bits))
            }
            if !value.isFinite {
                return CheckpointError(
                    part.tensor.file.path,
                    .tensor(
                        places[part.place].name, found: "\(value.isNaN ? .nan : value) at index \(index)",
                        expected: "finite values"))
            }
        }
        return CheckpointError(
            part.tensor.file.path,
            .tensor(places[part.place].name, found: "a value that is not finite", expected: "finite values"))
    }
}
