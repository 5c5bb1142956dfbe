internal import Crypto
internal import Engine
public import Simulator

/// Traces in files.
public enum TraceFile {
    /// Reads a trace and holds it against a model; the hash of its bytes goes into the results.
    public static func read(_ path: String, for model: ScenarioModel) throws(TraceError) -> Trace {
        var hash = SHA256()
        let limits = TraceLimits(maxContext: model.config.maxContext, vocabulary: model.config.vocabulary)
        var trace: Trace
        do {
            trace = try TraceReader.read(
                path: path, limits: limits, observing: { hash.update(bufferPointer: $0) })
        } catch {
            guard case .beyondContext(let field, let found, let context) = error.problem else { throw error }
            throw TraceError(
                path: path, line: error.line,
                problem: .field(
                    field, found: found,
                    expected: "at most \(context) in all, the context of \(model.config.name)"
                        + remedy(for: path, context: context)))
        }
        trace.sha256 = hash.finalize().hexadecimal
        return trace
    }

    /// How many of a trace's requests are too long, and what can be done; nothing where the rest of it can not be read.
    private static func remedy(for path: String, context: Int) -> String {
        var (requests, long, longest) = (0, 0, 0)
        do throws(TraceError) {
            try TraceReader.forEachRequest(path: path) { request in
                requests += 1
                if request.contextTokens > context { long += 1 }
                longest = max(longest, request.contextTokens)
            }
        } catch { return "" }
        return
            "; \(long) of \(requests) requests \(long == 1 ? "has" : "have") more, up to \(longest): choose a model with a "
            + "longer context, or leave them out with `alchemist-sim trace cut \(path) --max-context \(context) -o SHORTER`"
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
