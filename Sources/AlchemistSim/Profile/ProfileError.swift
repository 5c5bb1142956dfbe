/// A mistake in a hardware profile: one line that says where, what was found and what would be right.
public struct ProfileError: Error, Sendable, Equatable, CustomStringConvertible {
    public var path: String
    public var line: Int?
    public var field: String?
    public var problem: String
    /// Whether the file could not be read at all.
    public var isInputOutput = false
    /// Whether nothing is known by the name `path`, and it is that of no file.
    public var isOfName = false

    public var description: String {
        (line.map { "\(path):\($0)" } ?? path) + (field.map { ": field `\($0)`" } ?? "") + ": " + problem
    }
}
