import Foundation
import Results
import Testing

/// Files made to harm who reads them: whole, with every checksum right.
@Suite("Hostile HDF5 files")
struct HostileFileTests {
    private static func problem<Value>(_ work: () throws -> Value) -> String? {
        failure(HDF5Error.self, work).map { "\($0)" }
    }

    @Test("a few bytes that claim to be more than memory has room for", arguments: [1 << 30, 1 << 40, 1 << 59])
    func claims(count: Int) throws {
        let directory = try TemporaryDirectory()
        let file = try HDF5File(creating: directory.file("large.h5"))
        _ = try HDF5Dataset(creating: "/x", type: .int64, extent: .rows(count), in: file)
        try file.close()
        let read = try HDF5File(reading: directory.file("large.h5"))
        for problem in [
            Self.problem { try read.content(of: "/x") }, Self.problem { try read.content(of: "/x", rows: 0..<count) },
            Self.problem { try read.form(of: "/x") },
        ] {
            #expect(
                problem?.contains("/x: it claims \(count) elements, of which the file has 0 bytes") == true,
                "\(problem ?? "")")
        }
    }

    @Test("rows that a column does not have")
    func rows() throws {
        let directory = try TemporaryDirectory()
        let file = try HDF5File(creating: directory.file("short.h5"))
        do {
            var dataset = try HDF5Dataset(creating: "/x", type: .int64, extent: .rows(2), in: file)
            try dataset.append([UInt8](repeating: 1, count: 16))
        }
        try file.close()
        let read = try HDF5File(reading: directory.file("short.h5"))
        #expect(try read.content(of: "/x", rows: 1..<2).count == 1)
        #expect(Self.problem { try read.content(of: "/x", rows: 1..<3) }?.contains("it has 2 rows") == true)
    }

    @Test("groups that go out of the folder of an export, or on without an end")
    func groups() throws {
        let directory = try TemporaryDirectory()
        for (name, path, reason) in [
            ("out.h5", "/..", "is no name"), ("deep.h5", String(repeating: "/a", count: 17), "without an end"),
        ] {
            let file = try HDF5File(creating: directory.file(name))
            for end in path.indices.dropFirst() where path[end] == "/" { try file.createGroup(String(path[..<end])) }
            try file.createGroup(path)
            try file.close()
            let read = try HDF5File(reading: directory.file(name))
            #expect(Self.problem { try read.datasets() }?.contains(reason) == true)
        }
    }

    @Test("links to other files are not followed")
    func links() throws {
        let directory = try TemporaryDirectory()
        for name in ["secret.h5", "open.h5"] {
            let file = try HDF5File(creating: directory.file(name))
            do {
                var dataset = try HDF5Dataset(creating: "/x", type: .int64, extent: .scalar, in: file)
                try dataset.append([UInt8](repeating: 1, count: 8))
            }
            if name == "open.h5" { try file.link("/secret", toObject: "/", ofFile: directory.file("secret.h5")) }
            try file.close()
        }
        #expect(try HDF5File(reading: directory.file("open.h5")).datasets() == ["/x"])
    }

    /// The heap's header has 16 bytes, a text's length stands in the last 8 of its own 16, and the rest of the heap, which
    /// has such a header, too, follows 16 bytes behind.
    @Test(
        "texts, and what is left behind them, longer than their heap", arguments: [24, 56],
        [1 << 12, 1 << 59, UInt64(Int64.max), UInt64.max])
    func texts(place: Int, length: UInt64) throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("text.h5")
        let file = try HDF5File(creating: path)
        try file.setAttribute("note", of: "/", to: .text("a few words"))
        try file.close()
        #expect(try HDF5File(reading: path).text("note", of: "/") == "a few words")
        var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
        let heap = try #require(bytes.range(of: Data("GCOL".utf8))?.lowerBound)
        withUnsafeBytes(of: length.littleEndian) {
            bytes.replaceSubrange((heap + place)..<(heap + place + 8), with: $0)
        }
        try bytes.write(to: URL(fileURLWithPath: path))
        #expect(
            Self.problem { try HDF5File(reading: path).text("note", of: "/") }?
                .contains("the texts from byte \(heap) on are damaged") == true)
    }
}
