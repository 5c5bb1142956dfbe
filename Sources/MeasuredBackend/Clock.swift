internal import Glibc
internal import Simulator

/// Wall time of `body`, by the system's monotonic clock.
func measured(_ body: () throws -> Void) rethrows -> SimDuration {
    func now() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
    let start = now()
    try body()
    // A quantum takes time even if the clock did not move.
    return SimDuration(nanoseconds: max(1, now() - start))
}
