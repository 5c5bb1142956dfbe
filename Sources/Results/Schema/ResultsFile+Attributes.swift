extension ResultsFile {
    /// The attributes of the root, where the file comes from, by name in the order of `docs/results.md`; those that an
    /// older file lacks are left out.
    public var rootAttributes: [(name: String, value: String)] {
        get throws(ResultsError) {
            try ResultsError.wrapping { () throws(HDF5Error) in
                var found: [(name: String, value: String)] = []
                for name in Schema.Attribute.root where try file.hasAttribute(name, of: "/") {
                    let value =
                        switch try file.attribute(name, of: "/") {
                        case .text(let text): text
                        case .int64(let number): "\(number)"
                        case .uint64(let number): "\(number)"
                        case .float64(let number): "\(number)"
                        }
                    found.append((name, value))
                }
                return found
            }
        }
    }

    /// How many devices an arm has: 2 where the trainer has one of its own.
    func devices(of arm: String) throws(ResultsError) -> Int {
        try ResultsError.wrapping { () throws(HDF5Error) in Int(try file.integer("devices", of: Schema.arm(arm))) }
    }
}

extension Schema.Attribute {
    /// Those of the root, in the order in which they are told.
    static let root = [
        schemaVersion, toolVersion, gitCommit, commandLine, created, seed, traceSource, traceSHA256, status, buildCPU,
        runCPU, blasKernel, blasKernelChoice, threads, checkpoint, checkpointSHA256, adapter, adapterSHA256, digest,
    ]
}
