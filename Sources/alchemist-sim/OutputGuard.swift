import Foundation

/// Keeps a command from writing over what it reads.
enum OutputGuard {
    /// - Parameter option: the option that names the output.
    /// - Throws: a failure of usage when `output` is the same file as one of `inputs`, under whatever name.
    static func check(_ output: String, option: String = "-o", against inputs: [String?]) throws {
        guard let target = identity(of: output) else { return }
        for input in inputs.compactMap(\.self) where identity(of: input) == target {
            throw Failure(
                "\(option) \(output): is read as `\(input)` and would be lost; the output needs another name", .usage)
        }
    }

    /// Device and number of an existing file.
    private static func identity(of path: String) -> [UInt64]? {
        var status = stat()
        return stat(path, &status) == 0 ? [UInt64(status.st_dev), UInt64(status.st_ino)] : nil
    }
}
