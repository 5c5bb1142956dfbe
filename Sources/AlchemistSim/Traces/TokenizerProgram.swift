internal import Foundation
public import Simulator

/// Makes tokens of texts with a Hugging Face `tokenizer.json`, through `traces/tokenize/tokenize.py`, which runs beside
/// this program on the reference library.
///
/// The program is asked in batches: a line with the number of texts, then each as a JSON string. It reads them all before
/// it answers with a JSON array of ids each, so that neither waits for the other.
public struct TokenizerProgram: TextTokenizer {
    private let process: Process
    private let input: FileHandle
    private let output: FileHandle
    private let tokenizer: String
    private var unread: [UInt8] = []

    /// - Parameter tokenizer: the path of a `tokenizer.json`.
    public init(tokenizer: String) throws(TraceError) {
        self.tokenizer = tokenizer
        guard FileManager.default.isReadableFile(atPath: tokenizer) else {
            throw TraceError(path: tokenizer, problem: .system(action: "open the tokenizer", code: ENOENT))
        }
        let root = try Self.root(for: tokenizer)
        let python = ProcessInfo.processInfo.environment["ALCHEMIST_TOKENIZER_PYTHON"] ?? root + "/.venv-tokenize/bin/python"
        guard FileManager.default.isExecutableFile(atPath: python) else {
            throw Self.failure(tokenizer, "found no \(python), expected the one that `make tokenizer` sets up")
        }
        process = Process()
        process.executableURL = URL(fileURLWithPath: python)
        process.arguments = [root + "/traces/tokenize/tokenize.py", tokenizer]
        let (toProgram, fromProgram) = (Pipe(), Pipe())
        process.standardInput = toProgram
        process.standardOutput = fromProgram
        input = toProgram.fileHandleForWriting
        output = fromProgram.fileHandleForReading
        do {
            try process.run()
        } catch {
            throw Self.failure(tokenizer, "cannot be run: \(error.localizedDescription)")
        }
    }

    public mutating func tokens(of texts: [String]) throws(TraceError) -> [[Int32]] {
        do {
            var question = Data("\(texts.count)\n".utf8)
            let encoder = JSONEncoder()
            for text in texts {
                question.append(try encoder.encode(text))
                question.append(0x0a)
            }
            try input.write(contentsOf: question)
            return try texts.map { _ in try JSONDecoder().decode([Int32].self, from: Data(try nextLine())) }
        } catch {
            throw Self.failure(tokenizer, "ended early; what it said stands above")
        }
    }

    private mutating func nextLine() throws -> [UInt8] {
        while true {
            if let newline = unread.firstIndex(of: 0x0a) {
                defer { unread.removeFirst(newline + 1) }
                return Array(unread[..<newline])
            }
            guard let more = try output.read(upToCount: 1 << 16), !more.isEmpty else { throw CocoaError(.fileReadUnknown) }
            unread += more
        }
    }

    /// The repository's root: above this program, or where the user stands.
    private static func root(for tokenizer: String) throws(TraceError) -> String {
        let program = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
        var candidates = [FileManager.default.currentDirectoryPath]
        var folder = program.deletingLastPathComponent()
        for _ in 0..<5 {
            candidates.append(folder.path)
            folder = folder.deletingLastPathComponent()
        }
        let found = candidates.first { FileManager.default.fileExists(atPath: $0 + "/traces/tokenize/tokenize.py") }
        guard let found else { throw failure(tokenizer, "found no traces/tokenize/tokenize.py above this program or here") }
        return found
    }

    private static func failure(_ tokenizer: String, _ reason: String) -> TraceError {
        TraceError(path: tokenizer, problem: .tokenizer(reason))
    }
}
