import Foundation
import Results
import Simulator
import Testing

@Suite struct ExportTests {
    /// Three arms, one of them with a name that CSV and JSON must quote, and requests that overlap.
    private static func results(at path: String) throws {
        var run = Fixture.run(repeats: 2)
        run.arms[2].name = "re,\"use\""
        run.comparisons[0].candidate = run.arms[2].name
        run.trace.requests[2].conversation = "a, \"b\"\nc"
        for arm in run.arms.indices {
            for index in run.arms[arm].repeats.indices {
                // Arrives at 20 ms, while request 0 is served until 50 ms.
                run.arms[arm].repeats[index].requests[1].effectiveArrival = at(20)
                if run.arms[arm].repeats[index].quanta.count > 1 {
                    run.arms[arm].repeats[index].units = [
                        UnitRecord(quantum: 1, phase: .forward, duration: ms(4)),
                        UnitRecord(quantum: 1, phase: .backward, duration: ms(5)),
                    ]
                }
            }
        }
        try run.write(to: path)
    }

    // MARK: CSV

    /// The cells of a CSV file (RFC 4180).
    private static func rows(_ path: String) throws -> [[String]] {
        var rows: [[String]] = []
        var row: [String] = []
        var cell = ""
        var isQuoted = false
        var rest = try String(contentsOfFile: path, encoding: .utf8)[...]
        while let character = rest.popFirst() {
            switch (character, isQuoted) {
            case ("\"", true) where rest.first == "\"":
                cell.append("\"")
                rest.removeFirst()
            case ("\"", _): isQuoted.toggle()
            case (",", false):
                row.append(cell)
                cell = ""
            case ("\n", false):
                rows.append(row + [cell])
                (row, cell) = ([], "")
            default: cell.append(character)
            }
        }
        #expect(row.isEmpty && cell.isEmpty && !isQuoted, "\(path) does not end with a line")
        return rows
    }

    @Test func everyDatasetIsInTheFilesWithItsUnit() throws {
        let folder = try TemporaryDirectory()
        try Self.results(at: folder.file("r.h5"))
        let file = try ResultsFile(reading: folder.file("r.h5"))
        let count = try CSVExport.write(file, to: folder.file("csv"))
        let schema = try Self.rows(folder.file("csv/schema.csv"))
        #expect(schema[0] == ["file", "column", "type", "units", "description"])
        let columns = Dictionary(grouping: schema.dropFirst(), by: { $0[0] })
        #expect(columns.count + 1 == count)
        var scalars = 0
        for path in try file.datasets {
            let group = path.split(separator: "/").dropLast().joined(separator: "/")
            let name = String(path.split(separator: "/").last ?? "")
            let units = try file.attribute("units", of: path)
            if let line = columns[group + ".csv"]?.first(where: { $0[1] == name }) {
                #expect(line[3] == units, "\(path)")
                #expect(try line[4] == file.attribute("description", of: path))
                let table = try Self.rows(folder.file("csv/\(group).csv"))
                #expect(try table.count - 1 == file.values(at: path).count, "\(path)")
            } else if columns[path.dropFirst() + ".yaml"] != nil {
                #expect(units == "1")
            } else {
                let table = try Self.rows(folder.file("csv/\(group).csv"))
                let line = try #require(table.first { $0[0] == name }, "\(path) is in no file")
                #expect(line[2] == units, "\(path)")
                scalars += 1
            }
        }
        #expect(scalars > 100)
    }

    @Test func valuesAreThoseOfTheFile() throws {
        let folder = try TemporaryDirectory()
        try Self.results(at: folder.file("r.h5"))
        let file = try ResultsFile(reading: folder.file("r.h5"))
        _ = try CSVExport.write(file, to: folder.file("csv/"))
        let group = "arms/re,\"use\"/repeat_001/requests"
        let table = try Self.rows(folder.file("csv/\(group).csv"))
        func column(_ name: String) throws -> [String] {
            let index = try #require(table[0].firstIndex(of: name))
            return table.dropFirst().map { $0[index] }
        }
        #expect(try column("outcome") == ["finished", "finished", "refused"])
        #expect(try column("finish") == ["50000000", "180000000", ""])
        #expect(try column("recorded_tokens") == ["8", "0", "0"])
        let trace = try Self.rows(folder.file("csv/trace.csv"))
        let conversation = try #require(trace[0].firstIndex(of: "conversation"))
        #expect(trace.dropFirst().map { $0[conversation] } == ["c", "c", "a, \"b\"\nc"])
        let steps = try Self.rows(folder.file("csv/arms/recompute/repeat_000/training.csv"))
        let loss = try #require(steps[0].firstIndex(of: "loss"))
        let error = try #require(steps[0].firstIndex(of: "gradient_rounding_error"))
        #expect(steps.dropFirst().map { $0[loss] } == ["3.0", "2.0"])
        #expect(steps.dropFirst().map { $0[error] } == ["", "1e-07"])
        let provenance = try Self.rows(folder.file("csv/provenance.csv"))
        #expect(provenance.contains(["seed", "18446744073709551615"]))
        #expect(try String(contentsOfFile: folder.file("csv/scenario.yaml"), encoding: .utf8) == file.scenario)
    }

    @Test func onlyAnEarlierExportIsReplaced() throws {
        let folder = try TemporaryDirectory()
        try Self.results(at: folder.file("r.h5"))
        let file = try ResultsFile(reading: folder.file("r.h5"))
        _ = try CSVExport.write(file, to: folder.file("csv"))
        _ = try CSVExport.write(file, to: folder.file("csv"))
        try "mine".write(toFile: folder.file("csv/arms/notes.txt"), atomically: true, encoding: .utf8)
        let error = failure(ResultsError.self) { try CSVExport.write(file, to: folder.file("csv")) }
        #expect(error?.description.contains("did not make") == true, "\(String(describing: error))")
        #expect(try String(contentsOfFile: folder.file("csv/arms/notes.txt"), encoding: .utf8) == "mine")
        #expect(failure(ResultsError.self) { try CSVExport.write(file, to: folder.file("r.h5")) } != nil)
        #expect(try folder.contents == ["csv", "r.h5"], "something was left behind")
    }

    // MARK: Trace events

    @Test func theTimeLineKeepsTheRulesOfItsFormat() throws {
        let folder = try TemporaryDirectory()
        try Self.results(at: folder.file("r.h5"))
        let file = try ResultsFile(reading: folder.file("r.h5"))
        try TimelineExport.write(file, TimelineExport.Selection(), to: folder.file("t.json"))
        let data = try Data(contentsOf: URL(fileURLWithPath: folder.file("t.json")))
        #expect(TraceEvents.problems(in: data) == [])
        let root = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
        let events = try #require(root["traceEvents"] as? [[String: Any]])
        func spans(_ name: String) -> [[Int64?]] {
            events.filter { $0["name"] as? String == name && $0["ph"] as? String == "X" }.map {
                [TraceEvents.nanoseconds($0["ts"]), TraceEvents.nanoseconds($0["dur"])]
            }
        }
        // One of each arm: request "a" arrives at 0, is taken up at 4, has its first token at 10, its last at 50 ms.
        #expect(spans("a") == Array(repeating: [0, 50_000_000], count: 3))
        #expect(spans("prefill").filter { $0 == [4_000_000, 6_000_000] }.count == 3)
        #expect(spans("backward") == Array(repeating: [204_000_000, 5_000_000], count: 2))
        #expect(spans("layer 1").contains([11_000_000, 1_000_000]))
        /// A counter of the arm "recompute": times and levels, the last of them where the last level ends.
        func counts(_ name: String, of process: Int = 3) throws -> [[String: Int]] {
            try events.filter { $0["name"] as? String == name && $0["pid"] as? Int == process }.map {
                #expect($0["ph"] as? String == "C")
                var levels = try #require($0["args"] as? [String: Int])
                levels["ns"] = TraceEvents.nanoseconds($0["ts"]).map(Int.init)
                return levels
            }
        }
        #expect(
            try counts("device memory, highest in each 1 ms (B)") == [
                ["ns": 0, "weights": 500, "kv": 0], ["ns": 3_000_000, "weights": 500, "kv": 100],
                ["ns": 4_000_000, "weights": 500, "kv": 100],
            ])
        #expect(
            try counts("waiting requests") == [["ns": 4_000_000, "requests": 1], ["ns": 10_000_000, "requests": 1]])
        #expect(try counts("KV blocks").count == 2)
        #expect(events.contains { $0["name"] as? String == "c refused" && $0["ph"] as? String == "i" })
    }

    @Test func theTimeLineShowsWhatWasAskedFor() throws {
        let folder = try TemporaryDirectory()
        try Self.results(at: folder.file("r.h5"))
        let file = try ResultsFile(reading: folder.file("r.h5"))
        var selection = TimelineExport.Selection()
        selection.arms = ["recompute"]
        selection.window = 190_000_000...250_000_000
        try TimelineExport.write(file, selection, to: folder.file("t.json"))
        let text = try String(contentsOfFile: folder.file("t.json"), encoding: .utf8)
        #expect(TraceEvents.problems(in: Data(text.utf8)) == [])
        #expect(!text.contains("serve-only") && text.contains("\"name\":\"train\""))
        #expect(!text.contains("\"name\":\"serve\""), "the iteration ends before the window")
        selection.arms = ["nobody"]
        #expect(
            failure(ResultsError.self) { try TimelineExport.write(file, selection, to: folder.file("t.json")) }
                == .unknownArm("nobody", known: ["re,\"use\"", "recompute", "serve-only"]))
        selection = TimelineExport.Selection()
        selection.repeatIndex = 2
        #expect(
            failure(ResultsError.self) { try TimelineExport.write(file, selection, to: folder.file("t.json")) } != nil)
        #expect(try String(contentsOfFile: folder.file("t.json"), encoding: .utf8) == text)
    }

    @Test func aFileOfSomethingElseStays() throws {
        let folder = try TemporaryDirectory()
        try Self.results(at: folder.file("r.h5"))
        let file = try ResultsFile(reading: folder.file("r.h5"))
        try "{\"mine\":1}".write(toFile: folder.file("t.json"), atomically: true, encoding: .utf8)
        let selection = TimelineExport.Selection()
        for _ in 0..<2 {
            #expect(
                failure(ResultsError.self) { try TimelineExport.write(file, selection, to: folder.file("t.json")) }
                    != nil)
        }
        #expect(try String(contentsOfFile: folder.file("t.json"), encoding: .utf8) == "{\"mine\":1}")
        #expect(try folder.contents == ["r.h5", "t.json"])
    }

    /// The checker finds what it looks for: each of these breaks one rule.
    @Test(arguments: [
        ##"{"traceEvents":[{"ph":"X","pid":1,"tid":1,"ts":0,"dur":1,"cat":"a"}]}"##,
        ##"{"traceEvents":[N,T,{"name":"a","ph":"X","pid":1,"tid":1,"ts":0,"cat":"a"}]}"##,
        ##"{"traceEvents":[N,T,{"name":"a","ph":"X","pid":1,"tid":1,"ts":-1,"dur":1,"cat":"a"}]}"##,
        ##"{"traceEvents":[N,T,{"name":"a","ph":"X","pid":1,"tid":1,"ts":0,"dur":2,"cat":"a"},{"name":"b","ph":"X","pid":1,"tid":1,"ts":1,"dur":2,"cat":"a"}]}"##,
        ##"{"traceEvents":[N,T,{"name":"a","ph":"X","pid":1,"tid":1,"ts":5,"dur":2,"cat":"a"},{"name":"b","ph":"X","pid":1,"tid":1,"ts":1,"dur":2,"cat":"a"}]}"##,
        ##"{"traceEvents":[N,T,{"name":"a","ph":"X","pid":1,"tid":2,"ts":0,"dur":1,"cat":"a"}]}"##,
        ##"{"traceEvents":[N,{"name":"m","ph":"C","pid":1,"tid":0,"ts":0,"args":{"a":"1"}}]}"##,
        ##"{"traceEvents":[N,{"name":"m","ph":"C","pid":1,"tid":0,"ts":2,"args":{"a":1}},{"name":"m","ph":"C","pid":1,"tid":0,"ts":1,"args":{"a":1}}]}"##,
        ##"{"traceEvents":[N,{"name":"m","ph":"C","pid":1,"tid":0,"ts":1,"args":{"a":1}}]}"##,
        ##"{"traceEvents":[N,{"name":"m","ph":"C","pid":1,"tid":0,"ts":1,"args":{"a":1}},{"name":"m","ph":"C","pid":1,"tid":0,"ts":2,"args":{"a":2}}]}"##,
        ##"{"traceEvents":[N,{"name":"m","ph":"C","pid":1,"tid":0,"ts":1,"args":{"a":1}},{"name":"m","ph":"C","pid":1,"tid":0,"ts":2,"args":{"b":1}}]}"##,
        ##"{"traceEvents":[N,T,{"name":"a","ph":"i","pid":1,"tid":1,"ts":0}]}"##,
        ##"{"traceEvents":[N,T,{"name":"a","ph":"Q","pid":1,"tid":1,"ts":0}]}"##,
        ##"{"traceEvents":[N,T,{]}"##,
    ])
    func theCheckerSeesBrokenRules(_ text: String) {
        let names = text.replacing(
            "N,", with: ##"{"name":"process_name","ph":"M","pid":1,"tid":0,"args":{"name":"p"}},"##
        )
        .replacing("T,", with: ##"{"name":"thread_name","ph":"M","pid":1,"tid":1,"args":{"name":"t"}},"##)
        #expect(!TraceEvents.problems(in: Data(names.utf8)).isEmpty)
    }
}
