import Foundation
import Results
import Testing

@Suite("HDF5 files")
struct HDF5Tests {
    private func bytes(_ values: [some HDF5Number]) -> [UInt8] {
        values.reduce(into: []) { $1.encode(into: &$0) }
    }

    private func write<Number: HDF5Number>(
        _ values: [Number], extent: HDF5Dataset.Extent, to path: String, pieces: Int = 1
    ) throws {
        let file = try HDF5File(creating: path)
        try file.createGroup("/deep")
        try file.createGroup("/deep/group")
        do {
            var dataset = try HDF5Dataset(creating: "/deep/group/x", type: Number.elementType, extent: extent, in: file)
            let piece = max(1, (values.count + pieces - 1) / pieces)
            for start in stride(from: 0, to: values.count, by: piece) {
                try dataset.append(bytes(Array(values[start..<min(start + piece, values.count)])))
            }
            #expect(dataset.count == values.count)
        }
        #expect(file.openObjects == 0)
        try file.close()
    }

    @Test("numbers come back exactly, in compact, chunked and growing columns", arguments: [0, 1, 7, 256, 257, 70_000])
    func numbersRoundTrip(count: Int) throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("numbers.h5")
        let integers = (0..<count).map { Int64($0) &* 0x1e37_79b9_7f4a_7c15 }
        for (extent, pieces) in [(HDF5Dataset.Extent.rows(count), 1), (.rows(count), 3), (.growing, 5)] {
            try write(integers, extent: extent, to: path, pieces: pieces)
            let file = try HDF5File(reading: path)
            #expect(try file.numbers("/deep/group/x", as: Int64.self) == integers)
            #expect(file.openObjects == 0)
        }
    }

    @Test("extreme numbers of every type come back")
    func extremes() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("extremes.h5")
        func check<Number: HDF5Number & Equatable>(_ values: [Number]) throws {
            try write(values, extent: .rows(values.count), to: path)
            let read = try HDF5File(reading: path).numbers("/deep/group/x", as: Number.self)
            #expect(bytes(read) == bytes(values))
        }
        try check([Int32.min, -1, 0, .max])
        try check([Int64.min, -1, 0, .max])
        try check([UInt64.min, .max])
        try check([-0.0, .infinity, -.infinity, .nan, .leastNonzeroMagnitude, .greatestFiniteMagnitude])
    }

    @Test(
        "attributes come back",
        arguments: [
            HDF5Attribute.text(""), .text("naïve ☃ \u{1F9EA} \"quoted\"\nline"),
            .text(String(repeating: "long ", count: 40_000)), .int64(.min), .uint64(.max), .float64(-0.1),
        ])
    func attributes(value: HDF5Attribute) throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("attributes.h5")
        let file = try HDF5File(creating: path)
        try file.createGroup("/a")
        try file.setAttribute("odd näme", of: "/a", to: value)
        #expect(file.openObjects == 0)
        try file.close()
        let read = try HDF5File(reading: path)
        #expect(try read.attribute("odd näme", of: "/a") == value)
        #expect(try read.hasAttribute("odd name", of: "/a") == false)
    }

    @Test("a growing column is compressed")
    func compression() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("compressed.h5")
        try write((0..<100_000).map(Int64.init), extent: .growing, to: path, pieces: 4)
        let size = try #require(try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int)
        #expect(size < 200_000)
    }

    @Test("a missing file, one that is not HDF5 and one cut off are told apart")
    func unreadable() throws {
        let directory = try TemporaryDirectory()
        let missing = directory.file("missing.h5")
        let error = failure(HDF5Error.self) { try HDF5File(reading: missing) }
        #expect(error?.description == "\(missing): cannot open it: No such file or directory")

        let text = directory.file("text.h5")
        try Data("id,arrival\n".utf8).write(to: URL(fileURLWithPath: text))
        #expect(failure(HDF5Error.self) { try HDF5File(reading: text) }?.reason == "this is not an HDF5 file")

        let whole = directory.file("whole.h5")
        try write((0..<70_000).map(Int64.init), extent: .growing, to: whole)
        let cut = directory.file("cut.h5")
        let data = try Data(contentsOf: URL(fileURLWithPath: whole))
        try data.prefix(data.count / 2).write(to: URL(fileURLWithPath: cut))
        let truncated = try #require(failure(HDF5Error.self) { try HDF5File(reading: cut) })
        #expect(truncated.file == cut)
        #expect(truncated.reason.contains("truncated"))
    }

    @Test("an object that is missing or of another type is named")
    func wrongObjects() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("typed.h5")
        try write([1.5], extent: .rows(1), to: path)
        let file = try HDF5File(reading: path)
        func reason(_ work: (borrowing HDF5File) throws -> Void) -> HDF5Error? {
            failure(HDF5Error.self) { try work(file) }
        }
        let typed = reason { _ = try $0.numbers("/deep/group/x", as: Int64.self) }
        #expect(typed?.description == "\(path): cannot read /deep/group/x: it holds <f8, not <i8")
        #expect(reason { _ = try $0.texts("/deep/group/x") }?.reason == "it holds <f8, not text")
        #expect(reason { _ = try $0.numbers("/deep/nothing", as: Double.self) }?.object == "/deep/nothing")
        #expect(reason { _ = try $0.children(of: "/nothing") }?.object == "/nothing")
        #expect(reason { _ = try $0.text("units", of: "/deep/group/x") }?.object == "/deep/group/x@units")
        // Errors leave nothing open behind them.
        #expect(file.openObjects == 0)
    }

    @Test("a file can not be made where there is no directory")
    func noDirectory() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("none/file.h5")
        let error = try #require(failure(HDF5Error.self) { try HDF5File(creating: path) })
        #expect(error.file == path)
        #expect(error.reason.contains("No such file or directory"))
    }

    @Test("writing to an object that exists is an error")
    func existing() throws {
        let directory = try TemporaryDirectory()
        let file = try HDF5File(creating: directory.file("twice.h5"))
        try file.createGroup("/a")
        try file.createGroup("/a/b")
        #expect(failure(HDF5Error.self) { try file.createGroup("/a/b") }?.object == "/a/b")
        #expect(try file.children(of: "/") == ["a"])
        #expect(try file.kind(of: "/a/b") == .group)
        try file.close()
    }
}
