public import Simulator

/// A results file open for reading.
public struct ResultsFile: ~Copyable {
    /// A column or scalar dataset as it was written.
    public enum Values: Sendable, Equatable {
        case int32([Int32])
        case int64([Int64])
        case uint64([UInt64])
        case float64([Double])
        case text([String])

        public var count: Int {
            switch self {
            case .int32(let values): values.count
            case .int64(let values): values.count
            case .uint64(let values): values.count
            case .float64(let values): values.count
            case .text(let values): values.count
            }
        }
    }

    private let file: HDF5File

    /// Opens results. A file that is missing, damaged, not HDF5, not results or of another schema is an error that
    /// says so.
    public init(reading path: String) throws(ResultsError) {
        let file = try ResultsError.wrapping { () throws(HDF5Error) in try HDF5File(reading: path) }
        let version = try ResultsError.wrapping { () throws(HDF5Error) in
            let marked = try file.hasAttribute(Schema.Attribute.schemaVersion, of: "/")
            return marked ? try file.integer(Schema.Attribute.schemaVersion, of: "/") : nil
        }
        guard let version else { throw .notResults(path: path) }
        guard version == Schema.version else {
            throw .unsupportedSchema(path: path, found: Int(version), supported: Schema.version)
        }
        self.file = file
    }

    /// The repeats of an arm, by the group that holds their log.
    public func repeats(of arm: String) throws(ResultsError) -> [String] {
        try groups(in: Schema.arm(arm)).filter { $0.hasPrefix(Schema.repeatPrefix) }
    }

    /// The arms, by name.
    public var arms: [String] {
        get throws(ResultsError) { try groups(in: Schema.arms) }
    }

    public var provenance: Provenance {
        get throws(ResultsError) {
            try ResultsError.wrapping { () throws(HDF5Error) in
                let seed = try file.attribute(Schema.Attribute.seed, of: "/")
                guard case .uint64(let seed) = seed else {
                    throw file.context("/@seed").failure("read", "it is not an unsigned integer")
                }
                var provenance = Provenance(
                    toolVersion: try file.text(Schema.Attribute.toolVersion, of: "/"),
                    gitCommit: try file.text(Schema.Attribute.gitCommit, of: "/"),
                    commandLine: try file.text(Schema.Attribute.commandLine, of: "/"), seed: seed,
                    buildCPU: try file.text(Schema.Attribute.buildCPU, of: "/"),
                    runCPU: try file.text(Schema.Attribute.runCPU, of: "/"),
                    blasKernel: try file.text(Schema.Attribute.blasKernel, of: "/"),
                    blasKernelChoice: try file.text(Schema.Attribute.blasKernelChoice, of: "/"),
                    threads: Int(try file.integer(Schema.Attribute.threads, of: "/")),
                    created: try file.text(Schema.Attribute.created, of: "/"))
                provenance.checkpoint = try origin(Schema.Attribute.checkpoint, Schema.Attribute.checkpointSHA256)
                provenance.adapter = try origin(Schema.Attribute.adapter, Schema.Attribute.adapterSHA256)
                return provenance
            }
        }
    }

    /// The resolved scenario, YAML.
    public var scenario: String {
        get throws(ResultsError) {
            try ResultsError.wrapping { () throws(HDF5Error) in try file.texts(Schema.scenario).joined() }
        }
    }

    /// Whether the run came to its end.
    public var status: ArmLog.Status {
        get throws(ResultsError) {
            try ResultsError.wrapping { () throws(HDF5Error) in
                let text = try file.text(Schema.Attribute.status, of: "/")
                guard let status = ArmLog.Status(rawValue: text) else {
                    throw file.context("/@status").failure("read", "it is \"\(text)\", not complete or interrupted")
                }
                return status
            }
        }
    }

    /// The paths of all datasets, by name within their groups.
    public var datasets: [String] {
        get throws(ResultsError) {
            try ResultsError.wrapping { () throws(HDF5Error) in try file.datasets() }
        }
    }

    /// A text attribute of an object: `units` or `description` of a dataset, `trace_source` of the root `/`.
    public func attribute(_ name: String, of object: String) throws(ResultsError) -> String {
        try ResultsError.wrapping { () throws(HDF5Error) in try file.text(name, of: object) }
    }

    /// All of a column or scalar.
    public func values(at path: String) throws(ResultsError) -> Values {
        try ResultsError.wrapping { () throws(HDF5Error) in
            let content = try file.content(of: path)
            return switch content.type {
            case .int32: .int32(Int32.decode(content.bytes))
            case .int64: .int64(Int64.decode(content.bytes))
            case .uint64: .uint64(UInt64.decode(content.bytes))
            case .float64: .float64(Double.decode(content.bytes))
            case .text: .text(content.texts)
            }
        }
    }

    /// The replay table: what every distinct plan shape cost, in the order in which it was written.
    public var costs: [CostRow] {
        get throws(ResultsError) {
            try ResultsError.wrapping { () throws(HDF5Error) in
                let arms = try file.texts(Schema.costs + "/arm")
                let keys = try file.texts(Schema.costs + "/key")
                let repeats: [Int64] = try costs("repeat", rows: arms.count)
                let kinds: [Int32] = try costs("kind", rows: arms.count)
                let counts: [Int64] = try costs("count", rows: arms.count)
                let totals: [Int64] = try costs("total", rows: arms.count)
                let shortest: [Int64] = try costs("shortest", rows: arms.count)
                let longest: [Int64] = try costs("longest", rows: arms.count)
                guard keys.count == arms.count else { throw uneven("key") }
                return try arms.indices.map { row throws(HDF5Error) in
                    guard let kind = QuantumRecord.Kind(rawValue: Int(kinds[row])) else {
                        throw file.context(Schema.costs + "/kind").failure("read", "\(kinds[row]) is no kind")
                    }
                    var shape = PlanShapeRecord(key: keys[row], kind: kind)
                    shape.count = Int(counts[row])
                    shape.total = SimDuration(nanoseconds: totals[row])
                    shape.shortest = SimDuration(nanoseconds: shortest[row])
                    shape.longest = SimDuration(nanoseconds: longest[row])
                    return CostRow(arm: arms[row], repeatIndex: Int(repeats[row]), shape: shape)
                }
            }
        }
    }

    /// The profile that an arm's estimates were made from, YAML; nil if it was not kept.
    public func profile(of arm: String) throws(ResultsError) -> String? {
        try ResultsError.wrapping { () throws(HDF5Error) in
            let group = Schema.arm(arm)
            guard try file.hasAttribute(Schema.Attribute.profile, of: group) else { return nil }
            return try file.texts(try file.text(Schema.Attribute.profile, of: group)).joined()
        }
    }

    /// The quanta of one repeat of an arm, in the order of execution: what a replay needs.
    public func quanta(of arm: String, in repeatName: String) throws(ResultsError) -> [RecordedQuantum] {
        try ResultsError.wrapping { () throws(HDF5Error) in
            let group = Schema.arm(arm) + "/" + repeatName
            for log in ["/iterations", "/units"] where try file.hasAttribute(Schema.Attribute.form, of: group + log) {
                guard try file.text(Schema.Attribute.form, of: group + log) == Schema.Form.raw.rawValue else {
                    throw notKept(group + log)
                }
            }
            let keys = try file.texts(Schema.costs + "/key")
            let shapes: [Int64] = try file.numbers(group + "/iterations/shape")
            guard shapes.first != MissingValue.integer else { throw notKept(group + "/iterations/shape") }
            let durations: [Int64] = try file.numbers(group + "/iterations/duration")
            let unitQuanta: [Int64] = try file.numbers(group + "/units/quantum")
            let unitDurations: [Int64] = try file.numbers(group + "/units/duration")
            guard durations.count == shapes.count else {
                throw file.context(group + "/iterations/duration").failure("read", "it has another length than shape")
            }
            guard unitDurations.count == unitQuanta.count else {
                throw file.context(group + "/units/duration").failure("read", "it has another length than quantum")
            }
            var quanta = try zip(shapes, durations).map { (shape, duration) throws(HDF5Error) in
                guard keys.indices.contains(Int(shape)) else {
                    throw file.context(group + "/iterations/shape").failure("read", "\(shape) is no row of /costs")
                }
                return RecordedQuantum(
                    key: keys[Int(shape)], duration: SimDuration(nanoseconds: duration), units: [])
            }
            for (quantum, duration) in zip(unitQuanta, unitDurations) {
                guard quanta.indices.contains(Int(quantum)) else {
                    throw file.context(group + "/units/quantum").failure("read", "\(quantum) is no row of iterations")
                }
                quanta[Int(quantum)].units.append(SimDuration(nanoseconds: duration))
            }
            return quanta
        }
    }

    /// The digest that was written, and the one that the contents have now. They differ if the file was changed.
    public func verifyDigest() throws(ResultsError) -> (written: String, found: String) {
        try ResultsError.wrapping { () throws(HDF5Error) in
            var digest = ContentDigest()
            for group in Schema.digested {
                for path in try file.datasets(below: group) { digest.add(path: path, try file.content(of: path)) }
            }
            return (try file.text(Schema.Attribute.digest, of: "/"), digest.value)
        }
    }

    /// What two attributes say of a checkpoint; nil if it is none, or the file older than the attributes.
    private func origin(_ path: String, _ sha256: String) throws(HDF5Error) -> CheckpointOrigin? {
        guard try file.hasAttribute(path, of: "/") else { return nil }
        let found = CheckpointOrigin(path: try file.text(path, of: "/"), sha256: try file.text(sha256, of: "/"))
        return found.path.isEmpty ? nil : found
    }

    /// What a run was too long to keep. Only priced work is left out: the same scenario over the same trace gives it again.
    private func notKept(_ object: String) -> HDF5Error {
        file.context(object).failure(
            "replay",
            "the run was too long to keep every quantum or its cost; its work was priced, so running its scenario on its "
                + "trace again gives the same")
    }

    private func groups(in parent: String) throws(ResultsError) -> [String] {
        try ResultsError.wrapping { () throws(HDF5Error) in
            var names: [String] = []
            for child in try file.children(of: parent) where try file.kind(of: parent + "/" + child) == .group {
                names.append(child)
            }
            return names
        }
    }

    private func costs<Number: HDF5Number>(_ column: String, rows: Int) throws(HDF5Error) -> [Number] {
        let values: [Number] = try file.numbers(Schema.costs + "/" + column)
        guard values.count == rows else { throw uneven(column) }
        return values
    }

    private func uneven(_ column: String) -> HDF5Error {
        file.context(Schema.costs + "/" + column).failure("read", "it is longer or shorter than its neighbours")
    }
}

/// A quantum as it was executed: its shape spelled out, its duration, and those of a trainer quantum's units.
public struct RecordedQuantum: Sendable, Equatable {
    public var key: String
    public var duration: SimDuration
    public var units: [SimDuration]
}
