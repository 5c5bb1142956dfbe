internal import Crypto
internal import Engine
public import Simulator

/// Traces in files.
public enum TraceFile {
    /// Reads a trace and holds it against a model; the hash of its bytes goes into the results.
    public static func read(_ path: String, for model: ScenarioModel) throws(TraceError) -> Trace {
        var hash = SHA256()
        let limits = TraceLimits(maxContext: model.config.maxContext, vocabulary: model.config.vocabulary)
        var trace = try TraceReader.read(
            path: path, limits: limits, observing: { hash.update(bufferPointer: $0) })
        trace.sha256 = hash.finalize().hexadecimal
        return trace
    }
}

extension SHA256Digest {
    /// Lower-case hexadecimal digits.
    var hexadecimal: String {
        map { byte in
            let digits = String(byte, radix: 16)
            return digits.count == 1 ? "0" + digits : digits
        }.joined()
    }
}
