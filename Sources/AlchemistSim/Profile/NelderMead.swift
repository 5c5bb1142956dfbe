/// Minimises a function of a few numbers without its derivatives (Nelder and Mead, 1965): the same result every time.
struct NelderMead {
    var steps = 800

    /// - Returns: the best point found, from `start` on.
    func minimum(from start: [Double], of function: ([Double]) -> Double) -> [Double] {
        var simplex = [(point: start, value: function(start))]
        for axis in start.indices {
            var point = start
            point[axis] += 0.15 * max(abs(point[axis]), 0.3)
            simplex.append((point, function(point)))
        }
        func mix(_ a: [Double], _ b: [Double], _ share: Double) -> [Double] {
            zip(a, b).map { $0 + share * ($1 - $0) }
        }
        for _ in 0..<steps {
            simplex.sort { $0.value < $1.value }
            let last = simplex.count - 1
            let center = start.indices.map { axis in
                simplex.dropLast().reduce(0) { $0 + $1.point[axis] } / Double(last)
            }
            let worst = simplex[last]
            let mirrored = mix(center, worst.point, -1)
            let value = function(mirrored)
            if value < simplex[0].value {
                let further = mix(center, worst.point, -2)
                let gain = function(further)
                simplex[last] = gain < value ? (further, gain) : (mirrored, value)
            } else if value < simplex[last - 1].value {
                simplex[last] = (mirrored, value)
            } else {
                let nearer = mix(center, value < worst.value ? mirrored : worst.point, 0.5)
                let found = function(nearer)
                if found < min(value, worst.value) {
                    simplex[last] = (nearer, found)
                } else {
                    for index in 1...last {
                        simplex[index].point = mix(simplex[0].point, simplex[index].point, 0.5)
                        simplex[index].value = function(simplex[index].point)
                    }
                }
            }
        }
        return simplex.min { $0.value < $1.value }?.point ?? start
    }
}
