internal import Glibc

/// Why results could not be written, read or summed up.
public enum ResultsError: Error, Equatable, CustomStringConvertible {
    /// A call of the HDF5 library failed, or a file does not hold what it should.
    case hdf5(HDF5Error)
    /// A call of the operating system failed with this `errno`.
    case system(action: String, path: String, code: Int32)
    /// Something other than a regular file is where the results should go.
    case notRegularFile(path: String)
    /// Something other than an HDF5 file is where the results should go.
    case wouldOverwrite(path: String)
    /// Something that this command did not make is where its output should go.
    case notOurs(path: String, found: String)
    /// An HDF5 file, but not one of results.
    case notResults(path: String)
    /// A record of a point that can not be made use of, and why.
    case unreadableRecord(path: String, problem: String)
    case unsupportedSchema(path: String, found: Int, supported: Int)
    case unusableArmName(String)
    case duplicateArm(String)
    case unknownArm(String, known: [String])
    case unknownRepeat(Int, arm: String, count: Int)

    public var description: String {
        switch self {
        case .hdf5(let error): "\(error)"
        case .system(let action, let path, let code): "\(path): cannot \(action): \(String(cString: strerror(code)))"
        case .notRegularFile(let path): "\(path): results need the name of a regular file or of none yet"
        case .wouldOverwrite(let path):
            "\(path): this is no HDF5 file and would be lost; results need another name"
        case .notOurs(let path, let found):
            "\(path): \(found) and would be lost; the output needs another name"
        case .notResults(let path):
            "\(path): this HDF5 file has no attribute schema_version, so alchemist-sim did not write it"
        case .unreadableRecord(let path, let problem): "\(path): this record of a point can not be read: \(problem)"
        case .unsupportedSchema(let path, let found, let supported):
            "\(path): its schema version is \(found), but this build reads \(supported)"
        case .unusableArmName(let name):
            "the arm name \"\(name)\" is empty, \".\" or \"..\", or has a slash or zero character in it"
        case .duplicateArm(let name): "two arms are called \"\(name)\""
        case .unknownArm(let name, let known):
            "there is no arm \"\(name)\" to compare; there are: \(known.joined(separator: ", "))"
        case .unknownRepeat(let index, let arm, let count):
            "the arm \"\(arm)\" has no repeat \(index); it has \(count), counted from 0"
        }
    }
}

extension ResultsError {
    /// Runs work on an HDF5 file, whose errors become errors of results.
    static func wrapping<Value: ~Copyable>(
        _ work: () throws(HDF5Error) -> Value
    ) throws(ResultsError) -> Value {
        do {
            return try work()
        } catch {
            throw .hdf5(error)
        }
    }
}
