/// What a search tried and found, as a file of its own.
public struct SearchTrail: Sendable {
    /// One value that was tried.
    public struct Row: Sendable {
        var coordinates: [String]
        var value: Double
        var text: String
        var meets: Bool
        var reason: String
        var point: String

        public init(
            coordinates: [String], value: Double, text: String, meets: Bool, reason: String, point: String
        ) {
            self.coordinates = coordinates
            self.value = value
            self.text = text
            self.meets = meets
            self.reason = reason
            self.point = point
        }
    }

    /// The result at one place of the grid.
    public struct Found: Sendable {
        var coordinates: [String]
        var highest: Double
        var lowestFailing: Double

        public init(coordinates: [String], highest: Double, lowestFailing: Double) {
            self.coordinates = coordinates
            self.highest = highest
            self.lowestFailing = lowestFailing
        }
    }

    private let field: String
    private let unit: String
    private let objectives: [String]
    private let axes: [String]
    private let trail: [Row]
    private let found: [Found]
    private let experiment: String
    private let program: String

    public init(
        field: String, unit: String, objectives: [String], axes: [String], trail: [Row], found: [Found],
        experiment: String, program: String
    ) {
        self.field = field
        self.unit = unit
        self.objectives = objectives
        self.axes = axes
        self.trail = trail
        self.found = found
        self.experiment = experiment
        self.program = program
    }

    /// Writes two tables, `trail` and `found`; the file appears under its name when it is whole.
    public func write(to path: String) throws(ResultsError) {
        let staged = try StagedFile(for: path)
        let file = try ResultsError.wrapping { () throws(HDF5Error) in try HDF5File(creating: staged.temporary) }
        var digest = ContentDigest()
        let places: (Int) -> String = { axes[$0] }
        do throws(HDF5Error) {
            let trailColumns: [Column<Row>] =
                axes.indices.map { index in
                    .text("at_" + places(index), "where on the axis the search was made") { $0.coordinates[index] }
                } + [
                    .real("value", .one, "the value tried, in the unit of the attribute `unit`", \.value),
                    .text("text", "the value as it was set", \.text),
                    .code("meets", "whether all objectives are met", ["no", "yes"]) { $0.meets ? 1 : 0 },
                    .text(ifAny: "reason", "the first objective that is not met, or why the point could not run") {
                        $0.reason.isEmpty ? nil : $0.reason
                    },
                    .text("point", "the id of the point", \.point),
                ]
            try file.writeTable(trail, as: trailColumns, at: "/trail", digest: &digest)
            let foundColumns: [Column<Found>] =
                axes.indices.map { index in
                    .text("at_" + places(index), "where on the axis the search was made") { $0.coordinates[index] }
                } + [
                    .real(ifAny: "highest", .one, "the highest value tried that meets the objectives") {
                        $0.highest.isFinite ? $0.highest : nil
                    },
                    .real(ifAny: "lowest_failing", .one, "the lowest value tried that does not") {
                        $0.lowestFailing.isFinite ? $0.lowestFailing : nil
                    },
                ]
            try file.writeTable(found, as: foundColumns, at: "/found", digest: &digest)
            let attributes = [
                ("field", field), ("unit", unit), ("objectives", objectives.joined(separator: "\n")),
                ("experiment", experiment), ("tool_version", program), ("digest", digest.value),
            ]
            for (name, text) in attributes { try file.setAttribute(name, of: "/", to: .text(text)) }
            try file.close()
        } catch {
            throw .hdf5(error)
        }
        try staged.commit()
    }
}
