internal import COpenBLAS
internal import Glibc
internal import Synchronization

/// The engine's only threads: a fixed set that shares every kernel's work with the calling thread.
///
/// `parallel` hands out indices first come, first served. Which thread runs an index is chance, so a body must compute
/// the same values for an index on any worker and write only what that index owns; then results depend on the inputs
/// alone. Workers spin briefly between regions (a layer is a dozen regions, microseconds apart), then park.
///
/// One thread at a time may call `parallel`, and a body must not call it again.
public final class ThreadPool: Sendable {
    /// Threads that take part in a region, the caller included.
    public let width: Int
    private let state: PoolState

    /// Starts `width - 1` threads and limits OpenBLAS to the thread that calls it.
    public init(width: Int = ThreadPool.processorCount) {
        precondition(width >= 1, "a pool needs at least the calling thread")
        self.width = width
        state = PoolState()
        BLAS.useCallingThreadOnly()
        BLAS.takeBuffers(threads: width)
        for worker in 1..<max(width, 1) { PoolState.start(worker: worker, of: state) }
    }

    deinit { state.stop() }

    /// Processors the calling thread may run on: those of its affinity mask, as `taskset` or a batch system sets it, or
    /// all that are online where the mask cannot be read.
    public static var processorCount: Int {
        allowedProcessorCount ?? max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))
    }

    /// Processors in the calling thread's affinity mask.
    private static var allowedProcessorCount: Int? {
        // glibc declares the function to GNU sources only, which Swift's module of it is not.
        typealias GetAffinity = @convention(c) (pid_t, Int, UnsafeMutableRawPointer) -> CInt
        guard let symbol = dlsym(nil, "sched_getaffinity") else { return nil }
        let getAffinity = unsafeBitCast(symbol, to: GetAffinity.self)
        var mask = [UInt64](repeating: 0, count: 1024)
        let status = mask.withUnsafeMutableBytes { bytes in
            bytes.baseAddress.map { getAffinity(0, bytes.count, $0) } ?? -1
        }
        let count = mask.reduce(0) { $0 + $1.nonzeroBitCount }
        return status == 0 && count > 0 ? count : nil
    }

    /// Runs `body(index, worker)` for every index in `0..<count` and returns when all are done.
    ///
    /// `worker` in `0..<width` names the running thread, for per-thread scratch.
    package func parallel(_ count: Int, _ body: (_ index: Int, _ worker: Int) -> Void) {
        guard count > 1, width > 1 else {
            for index in 0..<max(count, 0) { body(index, 0) }
            return
        }
        withoutActuallyEscaping(body) { state.run(count: count, body: $0) }
    }

    /// Memory for a region's operands, of the caller and shared by the threads: at least `count` floats, valid until the
    /// next call. It grows to the largest size asked of it and is then reused.
    package func reserveScratch(_ count: Int) -> UnsafeMutablePointer<Float> { state.scratch.reserve(count) }

    /// Splits `0..<count` rows of `cost` elements each into ranges worth a thread's while.
    ///
    /// The split depends on `count`, `cost` and `width` only.
    package func rows(_ count: Int, cost: Int, _ body: (Range<Int>) -> Void) {
        guard count > 0 else { return }
        let worthwhile = max(1, count * cost / 16_384)
        let parts = min(count, min(worthwhile, 4 * width))
        parallel(parts) { part, _ in
            body(count * part / parts..<count * (part + 1) / parts)
        }
    }
}

/// What the threads share.
///
/// A region opens the gate; helpers that come in time enter, and leave when no index is left. The caller then closes the
/// gate and waits for those inside only: a helper that the system has not scheduled holds nobody up. Plain fields are
/// written while the gate is closed and nobody is inside, and read inside.
private final class PoolState: @unchecked Sendable {
    private let generation = Atomic<Int>(0)
    private let next = Atomic<Int>(0)
    /// Helpers inside the region, with `closed` added when no more may enter.
    private let gate = Atomic<Int>(PoolState.closed)
    private let parked = Atomic<Int>(0)
    private let stopping = Atomic<Bool>(false)
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let wake: UnsafeMutablePointer<pthread_cond_t>
    private var count = 0
    private var body: ((Int, Int) -> Void)?
    /// Touched by the caller only, between regions.
    let scratch = Scratch()

    private static let closed = 1 << 40
    /// Polls before a worker parks: some tens of microseconds.
    private static let spins = 4_000

    init() {
        mutex = .allocate(capacity: 1)
        wake = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(wake, nil)
    }

    deinit {
        pthread_cond_destroy(wake)
        pthread_mutex_destroy(mutex)
        wake.deallocate()
        mutex.deallocate()
    }

    /// Starts a detached thread; it holds the state, so that the state outlives the last poll.
    static func start(worker: Int, of state: PoolState) {
        let seat = Unmanaged.passRetained(Seat(state: state, worker: worker))
        var thread = pthread_t()
        guard pthread_create(&thread, nil, workerMain, seat.toOpaque()) == 0 else {
            SystemResource.thread.isRefused()
        }
        pthread_detach(thread)
    }

    func run(count: Int, body: @escaping (Int, Int) -> Void) {
        precondition(self.body == nil, "parallel regions do not nest")
        self.count = count
        self.body = body
        next.store(0, ordering: .relaxed)
        gate.store(0, ordering: .releasing)
        generation.wrappingAdd(1, ordering: .sequentiallyConsistent)
        if parked.load(ordering: .sequentiallyConsistent) > 0 { wakeAll() }
        share(worker: 0)
        gate.wrappingAdd(Self.closed, ordering: .acquiringAndReleasing)
        var polls = 0
        while gate.load(ordering: .acquiring) != Self.closed {
            polls += 1
            alchemist_pause()
            if polls > Self.spins { sched_yield() }
        }
        self.body = nil
    }

    func stop() {
        stopping.store(true, ordering: .sequentiallyConsistent)
        generation.wrappingAdd(1, ordering: .sequentiallyConsistent)
        wakeAll()
    }

    func work(as worker: Int) {
        var seen = 0
        while true {
            seen = waitForGeneration(after: seen)
            if stopping.load(ordering: .acquiring) { return }
            guard enter() else { continue }
            share(worker: worker)
            gate.wrappingSubtract(1, ordering: .releasing)
        }
    }

    /// Counts a helper in, unless the region is over.
    private func enter() -> Bool {
        var inside = gate.load(ordering: .relaxed)
        while inside < Self.closed {
            let attempt = gate.weakCompareExchange(
                expected: inside, desired: inside + 1, successOrdering: .acquiring, failureOrdering: .relaxed)
            if attempt.exchanged { return true }
            inside = attempt.original
        }
        return false
    }

    /// Takes indices until none is left. Not inlined, so that no reference to `body` outlives the call.
    @inline(never)
    private func share(worker: Int) {
        guard let body else { return }
        let count = count
        while true {
            let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
            if index >= count { return }
            body(index, worker)
        }
    }

    private func waitForGeneration(after seen: Int) -> Int {
        for _ in 0..<Self.spins {
            let now = generation.load(ordering: .acquiring)
            if now != seen { return now }
            alchemist_pause()
        }
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        parked.wrappingAdd(1, ordering: .sequentiallyConsistent)
        defer { parked.wrappingSubtract(1, ordering: .sequentiallyConsistent) }
        while true {
            let now = generation.load(ordering: .sequentiallyConsistent)
            if now != seen { return now }
            pthread_cond_wait(wake, mutex)
        }
    }

    private func wakeAll() {
        pthread_mutex_lock(mutex)
        pthread_cond_broadcast(wake)
        pthread_mutex_unlock(mutex)
    }
}

/// What a new thread is handed: its number and what it works on.
private final class Seat {
    let state: PoolState
    let worker: Int

    init(state: PoolState, worker: Int) {
        self.state = state
        self.worker = worker
    }
}

private func workerMain(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let argument else { return nil }
    let seat = Unmanaged<Seat>.fromOpaque(argument).takeRetainedValue()
    seat.state.work(as: seat.worker)
    return nil
}
