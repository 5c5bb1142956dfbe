/// A block of floats that serving makes and training reads.
public protocol StoredValues: AnyObject {
    /// Bytes in use.
    var byteCount: Int { get }
    var buffer: FloatBuffer { get }
}

extension ActivationBlock: StoredValues {}
extension FinalBlock: StoredValues {}
extension KVBlock: StoredValues {}

/// Values of a record: as they were computed, or rounded.
public enum Stored<Plain: StoredValues> {
    case plain(Plain)
    case narrow(NarrowBlock)

    /// Bytes in use.
    public var byteCount: Int {
        switch self {
        case .plain(let block): block.byteCount
        case .narrow(let block): block.byteCount
        }
    }

    public var buffer: FloatBuffer {
        switch self {
        case .plain(let block): block.buffer
        case .narrow(let block): block.buffer
        }
    }

    /// The rounded values; nil where nothing is rounded.
    public var narrow: NarrowBlock? { if case .narrow(let block) = self { block } else { nil } }

    /// The floats; nil where they are rounded.
    public var plain: Plain? { if case .plain(let block) = self { block } else { nil } }

    /// Copies all bytes onto those of a block of the same shape.
    public func copyContents(to other: Stored) {
        precondition(other.byteCount == byteCount, "\(byteCount) bytes do not fill \(other.byteCount)")
        UnsafeMutableRawPointer(other.buffer.base).copyMemory(from: buffer.base, byteCount: byteCount)
    }
}

extension Stored where Plain == ActivationBlock {
    /// Tokens held.
    var rows: Int {
        switch self {
        case .plain(let block): block.rows
        case .narrow(let block): block.layout.rows
        }
    }

    /// Tokens held of which more than the input is.
    var queryRows: Int {
        switch self {
        case .plain(let block): block.queryRows
        case .narrow(let block): block.layout.queryRows
        }
    }

    var plan: SavePlan {
        switch self {
        case .plain(let block): block.plan
        case .narrow(let block): block.layout.plan ?? .full
        }
    }
}

extension Stored where Plain == FinalBlock {
    /// Tokens held.
    public var rows: Int {
        switch self {
        case .plain(let block): block.rows
        case .narrow(let block): block.layout.rows
        }
    }
}
