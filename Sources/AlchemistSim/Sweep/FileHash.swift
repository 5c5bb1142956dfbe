internal import Crypto
internal import Foundation

/// SHA-256 in hexadecimal.
enum FileHash {
    /// Of a file's bytes.
    static func sha256(of path: String) throws(ScenarioError) -> String {
        do {
            let handle = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
            defer { try? handle.close() }
            var hash = SHA256()
            while let block = try handle.read(upToCount: 1 << 20), !block.isEmpty { hash.update(data: block) }
            return hash.finalize().hexadecimal
        } catch {
            throw ScenarioError(
                origin: .file(path, line: nil), problem: "can not be read: \(error.localizedDescription)",
                isInputOutput: true)
        }
    }

    static func sha256(ofText text: String) -> String { SHA256.hash(data: Data(text.utf8)).hexadecimal }
}
