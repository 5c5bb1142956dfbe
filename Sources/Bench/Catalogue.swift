import Engine

/// All that can be measured, in order.
struct Catalogue {
    struct Entry {
        let name: String
        let run: (Bench) -> [Figure]
    }

    private(set) var entries: [Entry] = []

    init(_ configs: [ModelConfig]) {
        entries.append(Entry(name: "limits", run: Self.limits))
        for running in SchedulingBenchmarks.batches {
            entries.append(
                Entry(name: "scheduling \(running)") { [SchedulingBenchmarks.iteration(running: running, $0)] })
        }
        for kind in LoopBenchmarks.Kind.allCases {
            entries.append(Entry(name: kind.rawValue) { [LoopBenchmarks.figure(kind, $0)] })
        }
        for config in configs {
            let benchmarks =
                ProductBenchmarks.all(config) + ServingBenchmarks.all(config) + TrainingBenchmarks.all(config)
            entries += benchmarks.map { benchmark in
                Entry(name: benchmark.name) { [$0.run(benchmark)] }
            }
            for (batch, length) in ServingBenchmarks.prefills {
                entries.append(
                    Entry(name: "recording \(config.name) \(batch)x\(length)") {
                        [ServingBenchmarks.recording(config, batch: batch, length: length, $0)]
                    })
            }
            for benchmark in benchmarks where benchmark.name.contains("256") && !benchmark.name.hasPrefix("product") {
                let name = "faults \(benchmark.name)"
                entries.append(Entry(name: name) { [MemoryBenchmarks.faults(name, benchmark.prepare($0))] })
            }
            for isLoRA in [true, false] {
                for length in [256, 1024] {
                    let name = "reuse \(TrainingBenchmarks.name(isLoRA)) step \(config.name) 1x\(length)"
                    entries.append(
                        Entry(name: name) {
                            TrainingBenchmarks.reuse(
                                config, isLoRA: isLoRA, length: length, shares: [0.25, 0.5, 0.75, 0.95], $0)
                        })
                }
            }
        }
    }

    /// The limits themselves: sgemm as a fraction of multiply-adds on registers, which tells whether BLAS uses what the
    /// processor has.
    private static func limits(_ bench: Bench) -> [Figure] {
        var products: [Double] = []
        var registers: [Double] = []
        var reads: [Double] = []
        for _ in 0..<bench.rounds {
            products.append(bench.rate(of: .arithmetic) / 1e9)
            registers.append(bench.registerPeak / 1e9)
            reads.append(bench.rate(of: .streaming) / 1e9)
        }
        return [
            Figure("limit registers", registers, unit: "GFLOP/s"),
            Figure(
                "limit sgemm", products, unit: "GFLOP/s",
                fractions: zip(products, registers).map { $0 / $1 }),
            Figure("limit read", reads, unit: "GB/s"),
        ]
    }
}
