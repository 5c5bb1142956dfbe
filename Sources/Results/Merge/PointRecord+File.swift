internal import Glibc

extension PointRecord {
    /// How records end: `ID.point`.
    public static let suffix = ".point"
    /// What every record begins with; the number is raised when a reader of earlier ones would misread it.
    private static let magic = kind + "2"
    private static let kind = "alchemist-sim point "

    /// Writes the record; it appears under `path` when it is whole and on the disk.
    public func write(to path: String) throws(ResultsError) {
        try StagedFile.write(Array(text.utf8), to: path)
    }

    private var text: String {
        var text = Self.magic + "\n"
        text += "id\t\(id)\n"
        text += "program\t\(program.sha256)\t\(program.name)\n"
        for coordinate in coordinates { text += "coordinate\t\(coordinate.name)\t\(coordinate.value)\n" }
        text += "seconds\t\(seconds)\n"
        text += "trace\t\(trace)\n"
        if let measured { text += measured.fields.joined(separator: "\t") + "\n" }
        if let file { text += "file\t\(file)\t\(fileBytes ?? 0)\n" }
        if let digest { text += "digest\t\(digest)\n" }
        for group in figures {
            switch group.subject {
            case .arm(let name): text += "arm\t\(name)\n"
            case .comparison(let baseline, let candidate): text += "comparison\t\(baseline)\t\(candidate)\n"
            case .paired(let baseline, let candidate): text += "paired\t\(baseline)\t\(candidate)\n"
            }
            for figure in group.figures {
                let spread = figure.spread
                text += "=\t\(figure.name)\t\(spread.median)"
                if spread.minimum != spread.maximum { text += "\t\(spread.minimum)\t\(spread.maximum)" }
                text += "\n"
            }
        }
        return text + "identity\n" + identity + "\nend\n"
    }

    /// How much of a record is wanted.
    public enum Part: Sendable {
        /// All but the identity.
        case figures
        case all
    }

    /// Reads a record, or as much of it as is wanted; nil if there is none.
    ///
    /// - Throws: `ResultsError.unreadableRecord` if it is not whole, of another version or damaged; `ResultsError.system`
    ///   if the disk fails.
    public init?(reading path: String, _ part: Part = .all) throws(ResultsError) {
        guard let bytes = try Self.bytes(of: path) else { return nil }
        guard bytes.starts(with: (Self.magic + "\n").utf8) else {
            throw .unreadableRecord(path: path, problem: Self.problem(ofBeginning: bytes))
        }
        guard bytes.suffix(5).elementsEqual("\nend\n".utf8) else {
            throw .unreadableRecord(
                path: path, problem: "it is cut off after \(bytes.count) bytes, before its line `end`")
        }
        do throws(RecordProblem) {
            try self.init(parsing: bytes, part)
        } catch {
            throw .unreadableRecord(path: path, problem: "one of its lines is damaged")
        }
    }

    private static func problem(ofBeginning bytes: [UInt8]) -> String {
        guard !bytes.isEmpty else { return "it is empty" }
        let line = String(decoding: bytes.prefix(64).prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
        guard line.hasPrefix(kind), line != magic else { return "it does not begin with `\(magic)`" }
        let version = line.dropFirst(kind.count).filter { $0.isASCII && $0.isNumber }
        return
            "it is of version \(version.isEmpty ? "?" : version), and this build reads \(magic.dropFirst(kind.count))"
    }

    private static func bytes(of path: String) throws(ResultsError) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw .system(action: "open this", path: path, code: errno)
        }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var status = stat()
        if fstat(descriptor, &status) == 0 { bytes.reserveCapacity(Int(status.st_size) + 1) }
        let block = 1 << 16
        while true {
            let start = bytes.count
            var count = 0
            bytes.append(contentsOf: repeatElement(0, count: block))
            bytes.withUnsafeMutableBytes { raw in
                count = read(descriptor, raw.baseAddress.map { $0 + start }, block)
            }
            bytes.removeLast(block - max(0, count))
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw .system(action: "read this", path: path, code: errno) }
            if count == 0 { return bytes }
        }
    }

    private struct RecordProblem: Error {}

    private init(parsing bytes: [UInt8], _ part: Part) throws(RecordProblem) {
        self.init(
            id: "", program: Program(sha256: "", name: ""), coordinates: [], seconds: .nan, trace: "", file: nil,
            digest: nil, figures: [], identity: "")
        var lines = RecordLines(bytes)
        guard lines.next()?.first == Self.magic else { throw RecordProblem() }
        while let fields = lines.next() {
            switch (fields.first, fields.count) {
            case ("id", 2): id = fields[1]
            case ("program", 3): program = Program(sha256: fields[1], name: fields[2])
            case ("coordinate", 3): coordinates.append(Coordinate(name: fields[1], value: fields[2]))
            case ("seconds", 2): seconds = Double(fields[1]) ?? .nan
            case ("trace", 2): trace = fields[1]
            case ("measured", 4):
                guard let measured = Measured(fields: fields) else { throw RecordProblem() }
                self.measured = measured
            case ("file", 3):
                guard let bytes = Int(fields[2]) else { throw RecordProblem() }
                (file, fileBytes) = (fields[1], bytes)
            case ("digest", 2): digest = fields[1]
            case ("arm", 2), ("comparison", 3), ("paired", 3):
                let subject: Subject =
                    switch fields[0] {
                    case "arm": .arm(fields[1])
                    case "comparison": .comparison(baseline: fields[1], candidate: fields[2])
                    default: .paired(baseline: fields[1], candidate: fields[2])
                    }
                let expected = if case .arm = subject { Self.armNames } else { Self.comparisonNames }
                guard let figures = lines.figures(expecting: expected) else { throw RecordProblem() }
                self.figures.append(Figures(subject: subject, figures: figures))
            case ("identity", 1):
                if part == .all { identity = String(decoding: lines.rest.dropLast(5), as: UTF8.self) }
                guard !id.isEmpty else { throw RecordProblem() }
                return
            default: throw RecordProblem()
            }
        }
        throw RecordProblem()
    }

    private static let armNames = ArmSummary.metrics.map(\.name)
    private static let comparisonNames = Comparison.metrics.map(\.name)
}

/// The lines of a record, cut at tabs.
private struct RecordLines {
    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var rest: ArraySlice<UInt8> { bytes[position...] }

    mutating func next() -> [String]? {
        guard position < bytes.count else { return nil }
        let end = bytes[position...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
        let line = bytes[position..<end]
        position = min(end + 1, bytes.count)
        return line.split(separator: UInt8(ascii: "\t"), omittingEmptySubsequences: false).map {
            String(decoding: $0, as: UTF8.self)
        }
    }

    /// The lines of figures that follow; nil if one is malformed. Names that stand in the expected order, as all do that
    /// this program writes, are compared and not made again: merging thousands of points is mostly this.
    mutating func figures(expecting names: [String]) -> [PointRecord.Figure]? {
        var figures: [PointRecord.Figure] = []
        figures.reserveCapacity(names.count)
        var place = 0
        while position + 1 < bytes.count, bytes[position] == UInt8(ascii: "="),
            bytes[position + 1] == UInt8(ascii: "\t")
        {
            position += 2
            guard let tab = bytes[position...].firstIndex(of: UInt8(ascii: "\t")) else { return nil }
            let found = bytes[position..<tab]
            var name: String?
            for index in place..<names.count where found.elementsEqual(names[index].utf8) {
                (name, place) = (names[index], index + 1)
                break
            }
            position = tab + 1
            guard let median = number() else { return nil }
            var spread = Spread(median: median, minimum: median, maximum: median)
            if bytes[position] == UInt8(ascii: "\t") {
                position += 1
                guard let minimum = number(), bytes[position] == UInt8(ascii: "\t") else { return nil }
                position += 1
                guard let maximum = number() else { return nil }
                spread = Spread(median: median, minimum: minimum, maximum: maximum)
            }
            guard bytes[position] == UInt8(ascii: "\n") else { return nil }
            position += 1
            figures.append(
                PointRecord.Figure(name: name ?? String(decoding: found, as: UTF8.self), spread: spread))
        }
        return figures
    }

    /// The number here, which a tab or the end of the line follows; nil if there is none. The bytes end with a line feed,
    /// so that reading stops within them.
    private mutating func number() -> Double? {
        let start = position
        let (value, length) = bytes.withUnsafeBytes { raw -> (Double, Int) in
            guard let base = raw.baseAddress?.advanced(by: start).assumingMemoryBound(to: CChar.self) else {
                return (0, 0)
            }
            var end: UnsafeMutablePointer<CChar>?
            let value = strtod(base, &end)
            return (value, end.map { UnsafePointer($0) - base } ?? 0)
        }
        guard length > 0, start + length < bytes.count else { return nil }
        position = start + length
        return value
    }
}
