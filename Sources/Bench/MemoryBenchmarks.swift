import Engine
import Glibc

/// What a steady-state execution takes from the system. Pages that are touched for the first time show memory that was
/// not there before, or that was given back and taken again.
enum MemoryBenchmarks {
    static func faults(_ name: String, _ execute: () -> Void) -> Figure {
        // The first executions make room.
        for _ in 0..<3 { execute() }
        let counts = (0..<5).map { _ in
            let before = pageFaults
            execute()
            return Double(pageFaults - before)
        }
        return Figure(name, counts, unit: "page faults")
    }

    private static var pageFaults: Int {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return usage.ru_minflt + usage.ru_majflt
    }
}
