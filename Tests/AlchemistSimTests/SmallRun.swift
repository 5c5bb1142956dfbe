import Foundation
import Simulator

/// The run that tests of the program make: small enough to be measured in a moment.
enum SmallRun {
    /// Forty short requests with feedback for the smallest model.
    static func trace(_ folder: borrowing Folder) throws -> String {
        var options = TraceGeneratorOptions()
        options.requests = 40
        options.scale = 0.1
        options.maxContext = 160
        options.language.vocabulary = 512
        options.arrivals = .poisson(rate: 100)
        options.meanThinkTime = 0.01
        options.feedback = TraceGeneratorOptions.FeedbackModel(rate: 0.8, meanDelay: 0.02)
        let path = folder.path("trace.jsonl")
        try TraceWriter.write(TraceGenerator(options).generate(), to: path)
        return path
    }

    static let settings = ["--set", "model=nano", "--set", "training.audit_every=1"]
}
