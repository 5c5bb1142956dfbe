import Engine
import Glibc
import Testing

@Suite("Thread pool")
struct ThreadPoolTests {
    @Test("every index runs once, region after region", arguments: [1, 2, 3, 8])
    func indices(width: Int) {
        let pool = ThreadPool(width: width)
        let hits = UnsafeMutableBufferPointer<Int>.allocate(capacity: 300)
        defer { hits.deallocate() }
        hits.initialize(repeating: 0)
        var expected = [Int](repeating: 0, count: 300)
        for region in 0..<3000 {
            let count = region * 7 % 301
            pool.parallel(count) { index, worker in
                precondition(worker >= 0 && worker < width)
                hits[index] += 1
            }
            for index in 0..<count { expected[index] += 1 }
        }
        #expect(Array(hits) == expected)
    }

    @Test("the processors counted are those that affinity allows")
    func affinity() throws {
        typealias Affinity = @convention(c) (pid_t, Int, UnsafeMutableRawPointer) -> CInt
        let get = unsafeBitCast(try #require(dlsym(nil, "sched_getaffinity")), to: Affinity.self)
        let set = unsafeBitCast(try #require(dlsym(nil, "sched_setaffinity")), to: Affinity.self)
        var whole = [UInt64](repeating: 0, count: 1024)
        let bytes = 8 * whole.count
        try #require(get(0, bytes, &whole) == 0)
        #expect(ThreadPool.processorCount == whole.reduce(0) { $0 + $1.nonzeroBitCount })
        // The mask is this thread's own, and nothing is awaited until it is back.
        let word = try #require(whole.firstIndex { $0 != 0 })
        var single = [UInt64](repeating: 0, count: 1024)
        single[word] = 1 << whole[word].trailingZeroBitCount
        try #require(set(0, bytes, &single) == 0)
        let restricted = ThreadPool.processorCount
        #expect(set(0, bytes, &whole) == 0)
        #expect(restricted == 1)
    }

    @Test("row ranges cover every row once", arguments: [0, 1, 2, 17, 4096], [1, 100, 100_000])
    func rows(count: Int, cost: Int) {
        let pool = ThreadPool(width: 2)
        let hits = UnsafeMutableBufferPointer<Int>.allocate(capacity: count + 1)
        defer { hits.deallocate() }
        hits.initialize(repeating: 0)
        pool.rows(count, cost: cost) { for row in $0 { hits[row] += 1 } }
        #expect(Array(hits) == Array(repeating: 1, count: count) + [0])
    }
}
