/// How far the mean of correlated values may be from that of an endless run, by the method of batch means.
///
/// Latencies of neighbouring requests are alike, so their spread says too little. The values, in order of arrival, are cut
/// into 20 batches of equal size, whose means are nearly independent; the half width of the 95 % confidence interval is
/// Student's t of 19 degrees of freedom times the standard deviation of the means over the root of 20 (Law, *Simulation
/// Modeling and Analysis*, section 9.5.3).
enum BatchMeans {
    static let batches = 20
    /// The 97.5th percentile of Student's t with 19 degrees of freedom.
    private static let student = 2.093

    /// - Returns: half the width of the interval; nil of fewer than two values for each batch.
    static func halfWidth(_ values: [Double]) -> Double? {
        let size = values.count / batches
        guard size >= 2 else { return nil }
        // What does not fill the batches is left out at the start.
        let first = values.count - size * batches
        return halfWidth(
            means: (0..<batches).map { batch in
                let start = first + batch * size
                return values[start..<start + size].reduce(0, +) / Double(size)
            })
    }

    /// The same of figures of the batches.
    static func halfWidth(means: [Double]) -> Double? {
        guard means.count == batches else { return nil }
        let mean = means.reduce(0, +) / Double(batches)
        let variance = means.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(batches - 1)
        return student * (variance / Double(batches)).squareRoot()
    }
}
