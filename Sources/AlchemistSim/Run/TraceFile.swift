internal import Crypto
public import Simulator

/// Traces in files.
public enum TraceFile {
    /// Reads a trace and holds it against the scenario's model; the hash of its bytes goes into the results.
    public static func read(_ path: String, for scenario: Scenario) throws(TraceError) -> Trace {
        var hash = SHA256()
        let limits = Experiment.limits(of: scenario)
        var trace = try TraceReader.read(
            path: path, limits: TraceLimits(maxContext: limits?.maxContext, vocabulary: limits?.vocabulary),
            observing: { hash.update(bufferPointer: $0) })
        trace.sha256 = hash.finalize().map { byte in
            let digits = String(byte, radix: 16)
            return digits.count == 1 ? "0" + digits : digits
        }.joined()
        return trace
    }
}
