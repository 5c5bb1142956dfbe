// swift-tools-version: 6.2

import PackageDescription

/// Language settings shared by every target of the project.
let common: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

/// The kernels are compiled for the machine that builds them: without `-march=native` each
/// `SIMD16.addingProduct` becomes a call into libm, some eighty times slower.
let kernels: [SwiftSetting] = common + [.unsafeFlags(["-Xcc", "-march=native"])]

/// The commit that results name as their origin: what the Makefile passes, or what git says of this checkout.
let commit =
    Context.environment["ALCHEMIST_COMMIT"]
    ?? Context.gitInformation.map { $0.currentCommit + ($0.hasUncommittedChanges ? "-modified" : "") } ?? "unknown"

let package = Package(
    name: "alchemist-sim",
    products: [
        .executable(name: "alchemist-sim", targets: ["alchemist-sim"]),
        .executable(name: "alchemist-bench", targets: ["alchemist-bench"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        .systemLibrary(name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
        .systemLibrary(name: "CHDF5", pkgConfig: "hdf5", providers: [.apt(["libhdf5-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .target(
            name: "CBuildInfo",
            cSettings: [.define("ALCHEMIST_COMMIT", to: "\"\(commit)\""), .unsafeFlags(["-march=native"])]),
        .target(name: "Engine", dependencies: ["COpenBLAS"], swiftSettings: kernels),
        .target(
            name: "Simulator",
            dependencies: [
                "CZlib",
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "HeapModule", package: "swift-collections"),
                .product(name: "OrderedCollections", package: "swift-collections"),
            ],
            swiftSettings: common),
        .target(name: "MeasuredBackend", dependencies: ["Engine", "Simulator"], swiftSettings: common),
        .target(
            name: "Results",
            dependencies: [
                "CHDF5", "Simulator", .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "HeapModule", package: "swift-collections"),
            ],
            swiftSettings: common),
        .target(
            name: "AlchemistSim",
            dependencies: [
                "CBuildInfo", "Engine", "Simulator", "MeasuredBackend", "Results",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Yams", package: "Yams"),
            ],
            // In the program itself, so that it finds them wherever it is installed.
            resources: [.embedInCode("Registry/hardware"), .embedInCode("Registry/models")],
            swiftSettings: common),
        .executableTarget(
            name: "alchemist-sim",
            dependencies: [
                "AlchemistSim", "Engine", "MeasuredBackend", "Results", "Simulator",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: common),
        .executableTarget(
            name: "alchemist-bench",
            dependencies: [
                "CBuildInfo", "Engine", "Simulator",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Sources/Bench", swiftSettings: kernels),
        .target(name: "CAllocationCount", path: "Tests/CAllocationCount"),
        .target(name: "Fuzzing", path: "Tests/Fuzzing", exclude: ["Corpus"], swiftSettings: common),
        .testTarget(
            name: "EngineTests", dependencies: ["Engine", "CAllocationCount", "Fuzzing"],
            resources: [.copy("Goldens"), .copy("Checkpoints")],
            swiftSettings: common),
        .testTarget(name: "SimulatorTests", dependencies: ["Simulator", "Fuzzing"], swiftSettings: common),
        .testTarget(
            name: "ResultsTests", dependencies: ["Results", "Simulator", "Fuzzing"], swiftSettings: common),
        .testTarget(
            name: "MeasuredBackendTests", dependencies: ["MeasuredBackend", "Engine", "Simulator"],
            swiftSettings: common),
        .testTarget(
            name: "AlchemistSimTests",
            dependencies: [
                "alchemist-sim", "AlchemistSim", "Engine", "Fuzzing", "Results", "Simulator",
                .product(name: "Crypto", package: "swift-crypto"),
            ],
            exclude: ["Help"],
            swiftSettings: common),
    ],
    swiftLanguageModes: [.v6]
)

// `make sanitize` tests the engine alone: building the rest, BoringSSL among it, once per sanitizer would take longer than
// all tests. The dependencies stay listed, or their pinned versions would be forgotten.
if Context.environment["ALCHEMIST_ENGINE_ONLY"] != nil {
    package.products = []
    package.targets.removeAll {
        !["COpenBLAS", "CAllocationCount", "Fuzzing", "Engine", "EngineTests"].contains($0.name)
    }
}
