import AlchemistSim

/// The points of a sweep that did not become whole, and how the sweep ends with them, wherever they ran.
struct FailedPoints {
    struct Point {
        let point: SweepPoint
        let code: Int32
        let message: String
    }

    private(set) var all: [Point] = []

    mutating func add(_ point: SweepPoint, code: Int32, message: String) {
        all.append(Point(point: point, code: code, message: message))
    }

    /// Ends the sweep with the highest of the exit codes; returns if no point failed.
    func conclude(in folder: SweepFolder) throws {
        guard let worst = all.max(by: { $0.code < $1.code }), let first = all.min(by: { $0.point.cell < $1.point.cell })
        else { return }
        throw Failure(
            "\(all.count) \(all.count == 1 ? "point" : "points") failed; the first is \(first.point.id), \(first.message); "
                + "\(folder.path)/points/ID.log says why for each",
            ExitStatus(rawValue: worst.code) ?? .software)
    }
}
