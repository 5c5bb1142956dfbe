internal import Glibc
internal import Simulator

/// Writes the results file of one run.
///
/// Making a writer opens the temporary file beside the target, so a path that can not be written to is known before the
/// run begins. The target appears when `write` has finished, whole; whatever goes wrong before leaves it as it was and
/// removes the temporary. A path takes one writer at a time.
public struct ResultsWriter: ~Copyable {
    private let file: HDF5File
    private let staged: StagedFile
    private var digest = ContentDigest()

    /// Opens the temporary file for results at `path`. A missing directory is made.
    ///
    /// - Throws: `ResultsError.wouldOverwrite` when `path` holds something that is no HDF5 file: a trace, say.
    public init(creating path: String) throws(ResultsError) {
        guard Self.mayReplace(path) else { throw .wouldOverwrite(path: path) }
        let staged = try StagedFile(for: path)
        let file = try ResultsError.wrapping { () throws(HDF5Error) in try HDF5File(creating: staged.temporary) }
        self.file = file
        self.staged = staged
    }

    /// Whether `path` is free, empty, or begins as every HDF5 file does.
    private static func mayReplace(_ path: String) -> Bool {
        guard let file = fopen(path, "rb") else { return true }
        defer { fclose(file) }
        var start = [UInt8](repeating: 0, count: 8)
        let count = fread(&start, 1, start.count, file)
        return count == 0 || start == [0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a]
    }

    /// Writes everything, closes the file and gives it its name.
    ///
    /// - Parameter report: the figures of `result`.
    /// - Returns: the digest of the contents, in hexadecimal.
    @discardableResult
    public consuming func write(_ result: RunResult, report: RunReport) throws(ResultsError) -> String {
        try result.validate()
        let value: String
        do throws(HDF5Error) {
            try writeTrace(result.trace)
            try writeCosts(result.arms)
            try writeArms(result, report)
            try writeTable(report.comparisons, as: Schema.comparisonColumns, at: Schema.comparison)
            try writeTable(report.paired, as: Schema.comparisonColumns, at: Schema.paired)
            try writeText(result.scenario, at: Schema.scenario, "the resolved scenario, YAML")
            try file.createGroup(Schema.profiles)
            for (index, profile) in result.profiles.enumerated() {
                try writeText(profile, at: Schema.profile(index), "what estimates were made from, YAML")
            }
            value = digest.value
            try writeProvenance(of: result, digest: value)
            try file.close()
        } catch {
            throw .hdf5(error)
        }
        try staged.commit()
        return value
    }
}

extension ResultsWriter {
    private mutating func writeTable<Row>(
        _ rows: some Collection<Row>, as columns: [Column<Row>], at group: String
    ) throws(HDF5Error) {
        try file.writeTable(rows, as: columns, at: group, digest: &digest)
    }

    private mutating func writeScalar(
        _ value: some HDF5Number, at path: String, unit: MetricUnit, _ description: String
    ) throws(HDF5Error) {
        try file.writeScalar(value, at: path, unit: unit, description, digest: &digest)
    }

    private mutating func writeTrace(_ trace: Trace) throws(HDF5Error) {
        try writeTable(trace.requests, as: Schema.traceColumns, at: Schema.trace)
    }

    private mutating func writeCosts(_ arms: [ArmResult]) throws(HDF5Error) {
        let rows = arms.flatMap { arm in
            arm.repeats.enumerated().flatMap { index, log in
                log.shapes.map { CostRow(arm: arm.name, repeatIndex: index, shape: $0) }
            }
        }
        try writeTable(rows, as: Schema.costColumns, at: Schema.costs)
    }

    private mutating func writeArms(_ result: RunResult, _ report: RunReport) throws(HDF5Error) {
        try file.createGroup(Schema.arms)
        var firstCost = 0
        for arm in result.arms {
            try file.createGroup(Schema.arm(arm.name))
            try file.setAttribute("devices", of: Schema.arm(arm.name), to: .int64(Int64(arm.devices)))
            if let profile = arm.profile {
                try file.setAttribute(
                    Schema.Attribute.profile, of: Schema.arm(arm.name), to: .text(Schema.profile(profile)))
            }
            for (index, log) in arm.repeats.enumerated() {
                try writeLog(log, at: Schema.run(index, of: arm.name), firstCost: firstCost, window: result.window)
                firstCost += log.shapes.count
            }
        }
        for arm in report.arms {
            try file.setAttribute(Schema.Attribute.status, of: Schema.arm(arm.name), to: .text(arm.status.rawValue))
            try writeSummary(of: arm)
        }
    }

    private mutating func writeLog(
        _ log: ArmLog, at group: String, firstCost: Int, window: MetricsWindow
    ) throws(HDF5Error) {
        try file.createGroup(group)
        var counted = [Bool](repeating: false, count: log.requests.count)
        for index in window.requests(of: log) { counted[index] = true }
        try writeTable(log.requests, as: Schema.requestColumns(counted: counted), at: group + "/requests")
        try writeGaps(log.tokenGaps, at: group + "/itl")
        try writeQuanta(log, at: group + "/iterations", firstCost: log.keepsShapes ? firstCost : nil)
        try writeUnits(log.units, at: group + "/units")
        try writeTable(log.steps, as: Schema.stepColumns, at: group + "/training")
        let learned = log.steps.enumerated().flatMap { step, record in record.learned.map { (step: step, sample: $0) } }
        try writeTable(learned, as: Schema.learnedColumns, at: group + "/samples")
        try writeTable(log.evaluations, as: Schema.evaluationColumns, at: group + "/learning_curve")
        try writeTable(Schema.sampleAudits(of: log), as: Schema.sampleAuditColumns, at: group + "/sample_audits")
        try writeTransfers(log.transfers, at: group + "/transfers")
        let lost = log.recording.lost
        try writeTable(
            lost.windows.enumerated().map { (index: $0.offset, bytes: $0.element) },
            as: Schema.lossColumns(width: lost.width), at: group + "/lost_records")
        try writeMemory(log.memory, at: group + "/memory")
        try writeScalar(log.end.nanoseconds, at: group + "/end", unit: .nanoseconds, "the end of the last quantum")
        try file.setAttribute(Schema.Attribute.status, of: group, to: .text(log.status.rawValue))
    }

    // MARK: Logs that may be too long for their rows to be kept

    private mutating func writeGaps(_ gaps: TokenGapLog, at group: String) throws(HDF5Error) {
        if gaps.isWhole {
            try writeTable(gaps, as: Schema.tokenGapColumns, at: group)
        } else {
            try writeTable(gaps.histogram.bins, as: Schema.gapBinColumns, at: group)
        }
        try setForm(of: group, gaps.isWhole ? .raw : .histogram)
    }

    private mutating func writeQuanta(_ log: ArmLog, at group: String, firstCost: Int?) throws(HDF5Error) {
        if log.quanta.isWhole {
            try writeTable(log.quanta, as: Schema.quantumColumns(firstCost: firstCost), at: group)
        } else {
            let course = log.quanta.sums.course
            let rows = course.windows.enumerated().map { (index: $0.offset, window: $0.element) }
            try writeTable(rows, as: Schema.windowColumns(width: course.width), at: group)
        }
        try setForm(of: group, log.quanta.isWhole ? .raw : .windows)
    }

    private mutating func writeUnits(_ units: BoundedLog<UnitSums>, at group: String) throws(HDF5Error) {
        if units.isWhole {
            try writeTable(units, as: Schema.unitColumns, at: group)
        } else {
            let rows = TrainerPhase.allCases.map { (phase: $0, sum: units.sums.phases[$0.index]) }
            try writeTable(rows, as: Schema.unitSumColumns, at: group)
        }
        try setForm(of: group, units.isWhole ? .raw : .sums)
    }

    private mutating func writeTransfers(_ transfers: BoundedLog<TransferSums>, at group: String) throws(HDF5Error) {
        if transfers.isWhole {
            try writeTable(transfers, as: Schema.transferColumns, at: group)
        } else {
            let rows = TransferDirection.allCases.map { (direction: $0, sum: transfers.sums.directions[$0.rawValue]) }
            try writeTable(rows, as: Schema.transferSumColumns, at: group)
        }
        try setForm(of: group, transfers.isWhole ? .raw : .sums)
    }

    private func setForm(of group: String, _ form: Schema.Form) throws(HDF5Error) {
        try file.setAttribute(Schema.Attribute.form, of: group, to: .text(form.rawValue))
    }

    private mutating func writeMemory(_ memory: MemoryRecord, at group: String) throws(HDF5Error) {
        try file.createGroup(group)
        try writeTable(MemoryOwner.allCases, as: Schema.peakColumns(of: memory), at: group + "/peaks")
        // Attributes, because a replay has no arenas but gives the same data sets.
        for peak in memory.arenas {
            let place = peak.purpose.name + "_" + peak.tier.name
            try file.setAttribute("arena_peak_" + place, of: group, to: .int64(Int64(peak.held.count)))
            try file.setAttribute("ledger_peak_" + place, of: group, to: .int64(Int64(peak.booked.count)))
        }
        for tier in MemoryTier.allCases {
            let record = memory[tier]
            let series = record.series
            let rows = series.levels.enumerated().map { (bucket: $0.offset, levels: $0.element) }
            let group = group + "/" + tier.name
            try file.createGroup(group)
            try writeTable(rows, as: Schema.seriesColumns(width: series.width), at: group + "/series")
            try writeScalar(
                series.width.nanoseconds, at: group + "/bucket_width", unit: .nanoseconds,
                "width of one bucket of the series")
            try writeScalar(
                Int64(record.capacity.count), at: group + "/capacity", unit: .bytes, "what the \(tier.name) holds")
            try writeScalar(
                Int64(record.peak.count), at: group + "/peak", unit: .bytes,
                "highest sum over all owners on the \(tier.name)")
        }
        try writeScalar(
            Int64(memory.trainingPeak.count), at: group + "/training_peak", unit: .bytes,
            "highest sum over the owners of training memory on the device")
    }

    private mutating func writeSummary(of arm: ArmReport) throws(HDF5Error) {
        let group = Schema.summary(arm.name)
        try file.createGroup(group)
        for metric in ArmSummary.metrics {
            let spread = arm.spread(of: metric)
            for part in Spread.parts {
                let path = group + "/" + metric.name + part.suffix
                try writeScalar(
                    spread.map(part.value) ?? MissingValue.real, at: path, unit: metric.unit,
                    metric.description + part.text)
                try file.setAttribute(MissingValue.attribute, of: path, to: .float64(MissingValue.real))
            }
        }
    }

    /// Texts are provenance: not part of the digest.
    private func writeText(_ text: String, at path: String, _ description: String) throws(HDF5Error) {
        let bytes = Array(text.utf8)
        let type = HDF5ElementType.text(width: max(1, bytes.count))
        var dataset = try HDF5Dataset(creating: path, type: type, extent: .scalar, in: file)
        try dataset.append(bytes.isEmpty ? [0] : bytes)
        try file.describe(path, unit: .one, description)
    }

    private func writeProvenance(of result: RunResult, digest: String) throws(HDF5Error) {
        let provenance = result.provenance
        let attributes: [(String, HDF5Attribute)] = [
            (Schema.Attribute.schemaVersion, .int64(Int64(Schema.version))),
            (Schema.Attribute.toolVersion, .text(provenance.toolVersion)),
            (Schema.Attribute.gitCommit, .text(provenance.gitCommit)),
            (Schema.Attribute.commandLine, .text(provenance.commandLine)),
            (Schema.Attribute.seed, .uint64(provenance.seed)),
            (Schema.Attribute.traceSource, .text(result.trace.source)),
            (Schema.Attribute.traceSHA256, .text(result.trace.sha256)),
            (Schema.Attribute.buildCPU, .text(provenance.buildCPU)),
            (Schema.Attribute.runCPU, .text(provenance.runCPU)),
            (Schema.Attribute.blasKernel, .text(provenance.blasKernel)),
            (Schema.Attribute.blasKernelChoice, .text(provenance.blasKernelChoice)),
            (Schema.Attribute.threads, .int64(Int64(provenance.threads))),
            (Schema.Attribute.created, .text(provenance.created)),
            (Schema.Attribute.checkpoint, .text(provenance.checkpoint?.path ?? "")),
            (Schema.Attribute.checkpointSHA256, .text(provenance.checkpoint?.sha256 ?? "")),
            (Schema.Attribute.adapter, .text(provenance.adapter?.path ?? "")),
            (Schema.Attribute.adapterSHA256, .text(provenance.adapter?.sha256 ?? "")),
            (Schema.Attribute.status, .text(result.status.rawValue)),
            (Schema.Attribute.digest, .text(digest)),
        ]
        for (name, value) in attributes { try file.setAttribute(name, of: "/", to: value) }
    }
}
