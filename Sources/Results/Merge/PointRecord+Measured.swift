extension PointRecord {
    /// What the times of a point that was measured depend on beside its scenario.
    public struct Measured: Hashable, Sendable {
        public var threads: Int
        /// Whether other points could run on the same processors meanwhile.
        public var isSharing: Bool
        /// The CPU's name, family and model.
        public var processor: String

        public init(threads: Int, isSharing: Bool, processor: String) {
            self.threads = threads
            self.isSharing = isSharing
            self.processor = processor
        }
    }
}

extension PointRecord.Measured {
    /// The fields of its line in a record.
    var fields: [String] {
        // No tab may stand in a field.
        let name = String(processor.map { $0 == "\t" || $0 == "\n" ? " " : $0 })
        return ["measured", "\(threads)", isSharing ? "sharing" : "alone", name]
    }

    /// Nil if the fields are none of a record.
    init?(fields: [String]) {
        guard fields.count == 4, let threads = Int(fields[1]), ["sharing", "alone"].contains(fields[2]) else {
            return nil
        }
        self.init(threads: threads, isSharing: fields[2] == "sharing", processor: fields[3])
    }
}
