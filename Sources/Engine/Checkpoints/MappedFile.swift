internal import Glibc

/// A regular file whose bytes are seen through a read-only mapping, closed once.
///
/// The file must stay as it is while it is read: touching a page beyond a new, shorter end would kill the process.
/// `prepare` finds that out before the bytes are touched, as far as the system can tell.
final class MappedFile: Sendable {
    let path: String
    /// Bytes mapped.
    let count: Int
    private let descriptor: Int32
    /// The mapping's address; 0 for an empty file.
    private let address: UInt
    private let modified: [Int]

    init(_ path: String) throws(CheckpointError) {
        // Without O_NONBLOCK, opening a pipe would wait for a writer.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw Self.failure("open this", path) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            let failure = Self.failure("look at this", path)
            close(descriptor)
            throw failure
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            let kind = status.st_mode & S_IFMT == S_IFDIR ? "a folder" : "something other than a file"
            throw CheckpointError(path, .file(found: kind, expected: "a regular file"))
        }
        let count = Int(status.st_size)
        var address: UInt = 0
        if count > 0 {
            let mapping = mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0)
            guard let mapping, mapping != MAP_FAILED else {
                let failure = Self.failure("map this", path)
                close(descriptor)
                throw failure
            }
            madvise(mapping, count, Int32(MADV_SEQUENTIAL))
            address = UInt(bitPattern: mapping)
        }
        self.path = path
        self.count = count
        self.descriptor = descriptor
        self.address = address
        modified = Self.stamp(status)
    }

    deinit {
        if let base = UnsafeMutableRawPointer(bitPattern: address) { munmap(base, count) }
        close(descriptor)
    }

    /// All bytes; valid while the file object lives.
    var bytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: UnsafeRawPointer(bitPattern: address), count: count)
    }

    /// Checks that the file is what it was when it was opened, and reads the pages of `range` in.
    ///
    /// - Throws: an error if the file changed, or a page of it can not be read.
    func prepare(_ range: Range<Int>) throws(CheckpointError) {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw Self.failure("look at this", path) }
        guard Int(status.st_size) == count, Self.stamp(status) == modified else {
            throw CheckpointError(
                path, .file(found: "that it changed while it was read", expected: "a file that stays as it is"))
        }
        guard !range.isEmpty, address != 0 else { return }
        let page = UInt(sysconf(Int32(_SC_PAGESIZE)))
        let start = (address + UInt(range.lowerBound)) / page * page
        let end = address + UInt(range.upperBound)
        let code = madvise(UnsafeMutableRawPointer(bitPattern: start), Int(end - start), Self.populateRead)
        // Kernels before 5.14 know no such advice; the pages then come when they are touched.
        guard code == 0 || errno == EINVAL else { throw Self.failure("read this", path) }
    }

    /// MADV_POPULATE_READ, which glibc's headers name only in newer versions.
    private static let populateRead: Int32 = 22

    private static func stamp(_ status: stat) -> [Int] { [status.st_mtim.tv_sec, status.st_mtim.tv_nsec] }

    private static func failure(_ action: String, _ path: String) -> CheckpointError {
        CheckpointError(path, .system(action: action, code: errno))
    }
}
