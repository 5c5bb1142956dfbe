import Simulator
import Testing

@Suite struct LessonTests {
    private static let answer = Feedback.Answer(count: 7)
    private static let group = Feedback.Signal.group(
        weight: 0.5,
        others: [
            .init(answer: .init(count: 3), weight: -1.5), .init(answer: .init(count: 4), weight: 0),
            .init(answer: .init(count: 5), weight: 1),
        ])

    /// Number, tokens and weight of each answer that is learned from; an answer of 9 tokens was served.
    static let lessons: [(Objective, Feedback.Signal, Feedback.Kind, [[Double]])] = [
        (.trace, .sft(), .sft, [[0, 9, 1]]),
        (.trace, .sft(edited: [1, 2]), .sft, [[1, 2, 1]]),
        (.trace, .dpo(.chosen(answer)), .dpo, [[1, 7, 1], [0, 9, -1]]),
        (.trace, .dpo(.rejected(answer)), .dpo, [[0, 9, 1], [1, 7, -1]]),
        (.trace, group, .group, [[0, 9, 0.5], [1, 3, -1.5], [3, 5, 1]]),
        (.sft, .dpo(.chosen(answer)), .sft, [[1, 7, 1]]),
        (.sft, .dpo(.rejected(answer)), .sft, [[0, 9, 1]]),
        (.sft, group, .sft, [[3, 5, 1]]),
        (.dpo, .sft(edited: [1, 2]), .dpo, [[1, 2, 1], [0, 9, -1]]),
        (.dpo, .dpo(.chosen(answer)), .dpo, [[1, 7, 1], [0, 9, -1]]),
        (.group, group, .group, [[0, 9, 0.5], [1, 3, -1.5], [3, 5, 1]]),
    ]

    @Test(arguments: lessons.indices) func answersAreThoseThatTheObjectiveLearnsFrom(index: Int) throws {
        let (objective, signal, kind, expected) = Self.lessons[index]
        let lesson = try #require(objective.lesson(of: signal, served: 9))
        #expect(lesson.kind == kind)
        #expect(lesson.answers.map { [Double($0.number), Double($0.tokens), $0.weight] } == expected)
    }

    @Test(
        arguments: [(.dpo, .sft()), (.dpo, group), (.group, .sft()), (.group, .dpo(.chosen(answer)))]
            as [(Objective, Feedback.Signal)])
    func feedbackThatDoesNotSayItTeachesNothing(objective: Objective, signal: Feedback.Signal) {
        #expect(objective.lesson(of: signal, served: 9) == nil)
    }

    @Test func madeUpFeedbackIsOfTheObjectivesKind() throws {
        var model = FeedbackConfiguration()
        model.rate = 1
        model.groupSize = 5
        for seed in 0..<20 as Range<UInt64> {
            let pair = try #require(model.feedback(for: "a", seed: seed, kind: .dpo, answerTokens: 6))
            #expect(pair.kind == .dpo && pair.otherAnswers == [Feedback.Answer(count: 6)])
            let group = try #require(model.feedback(for: "a", seed: seed, kind: .group, answerTokens: 6))
            guard case .group(let weight, let others) = group.signal else {
                Issue.record("not a group")
                return
            }
            let weights = [weight] + others.map(\.weight)
            #expect(weights.count == 5 && abs(weights.reduce(0, +)) < 1e-3)
            #expect(group.delay == pair.delay, "the delay does not depend on the kind")
        }
    }
}

@Suite struct SampleSequenceTests {
    private static let model = ModelShape.tiny

    private static func trainer(_ change: (inout TrainingConfiguration) -> Void = { _ in }) -> Trainer {
        var configuration = TrainingConfiguration()
        configuration.enabled = true
        configuration.reuse = true
        change(&configuration)
        return Trainer(configuration: configuration, model: model)
    }

    private static func sample(_ request: Int, shared: Bool, prompt: Int = 20, _ answers: [(Int, Int)]) -> Sample {
        Sample(
            request: request, promptTokens: prompt, objective: .group,
            answers: answers.map { Sample.Answer(number: $0.0, tokens: $0.1) }, sharesPrompt: shared, record: [],
            ready: .zero)
    }

    @Test func tokensAreCountedPerAnswerAndRowsOnce() {
        let answers = [(0, 4), (1, 6), (2, 1)]
        let apart = Self.sample(0, shared: false, answers)
        #expect(apart.tokens == 23 + 25 + 20 && apart.rows == apart.tokens && apart.sharedTokens == 0)
        let shared = Self.sample(0, shared: true, answers)
        #expect(shared.tokens == apart.tokens && shared.rows == 19 + 4 + 6 + 1)
        #expect(apart.lossCount(.completion) == 11 && apart.lossCount(.all) == 11)
        #expect(!Self.sample(0, shared: true, [(0, 4)]).sharesPrompt)
        #expect(!Self.sample(0, shared: true, prompt: 1, answers).sharesPrompt)
    }

    /// Records of the prompt serve all answers, those of the served answer it alone; a chunk counts once for a sample.
    @Test(arguments: [false, true]) func recordsGoWhereTheirTokensAre(shared: Bool) throws {
        var device = DeviceConfiguration()
        device.memory = Bytes(100_000)
        let sizes = RecordSizes(
            layers: 3, activationsPerToken: Bytes(10), kvPerToken: Bytes(4), finalPerToken: Bytes(2))
        var memory = MemorySystem(device: device, kvBlockTokens: 4, sizes: sizes)
        let opened = memory.openRequest(0, tokens: 24)
        let blocks = try #require(opened)
        func begin(_ tokens: Range<Int>) throws -> RecordReference {
            let id = memory.beginRecord(request: 0, tokens: tokens, finalRows: 1, versions: 0...0, blocks: blocks)
            memory.endWriting(try #require(id))
            return RecordReference(chunk: try #require(id), tokens: tokens)
        }
        let record = [try begin(0..<12), try begin(12..<20), try begin(20..<23)]
        var sample = Self.sample(0, shared: shared, [(1, 6), (0, 4)])
        sample.record = record
        let trainer = Self.trainer()
        let other = Self.sample(7, shared: shared, [(0, 2), (1, 2)])
        let plan = trainer.microBatch(of: [other, sample], stepLossTokens: 14, records: memory.records).plan
        #expect(plan.objective == .group && plan.lossRows == 14 && plan.rows == other.rows + sample.rows)
        #expect(plan.chunks.map(\.id) == record.map(\.chunk) && plan.chunks.allSatisfy { $0.uses == 1 })
        let own = plan.sequences.filter { $0.request == 0 }
        let spans = own.map { $0.recorded.map(\.tokens) }
        if shared {
            #expect(own.map(\.part) == [.prompt, .branch(of: 3), .branch(of: 3)])
            #expect(spans == [[0..<12, 12..<19], [19..<20], [19..<20, 20..<23]])
            #expect(own.map(\.positions) == [0..<19, 19..<25, 19..<23])
            #expect(own.map(\.freshRanges) == [[], [20..<25], []])
        } else {
            #expect(own.map(\.part) == [.whole, .whole])
            #expect(spans == [[0..<12, 12..<20], [0..<12, 12..<20, 20..<23]])
            #expect(own.map(\.freshRanges) == [[20..<25], []])
        }
        #expect(own.filter { $0.part != .prompt }.map(\.answer) == [1, 0])
    }

    /// Pairs of queries and keys of every range of rows, against counting them one by one.
    @Test(arguments: 0..<20) func queriesBehindASharedPromptSeeAllOfIt(seed: Int) {
        var stream = RandomStream(seed: UInt64(seed), name: "trees")
        let samples = (0..<1 + stream.below(3)).map { request in
            Self.sample(
                request, shared: stream.below(3) > 0, prompt: 1 + stream.below(9),
                (0..<1 + stream.below(4)).map { ($0, 1 + stream.below(5)) })
        }
        let trainer = Self.trainer()
        let memory = MemorySystem(
            device: DeviceConfiguration(), kvBlockTokens: 4,
            sizes: RecordSizes(layers: 3, activationsPerToken: Bytes(1), kvPerToken: Bytes(1), finalPerToken: Bytes(1)))
        let plan = trainer.microBatch(of: samples, stepLossTokens: 1, records: memory.records).plan
        // The key that a row's query sees last is its own position.
        let seen = plan.sequences.flatMap { $0.positions.map { $0 + 1 } }
        let losses = plan.sequences.flatMap { sequence in sequence.positions.map { sequence.lossTokens.contains($0) } }
        #expect(seen.count == plan.rows && plan.freshRows == plan.rows)
        for _ in 0..<20 {
            let start = stream.below(plan.rows)
            let rows = start..<start + 1 + stream.below(plan.rows - start)
            #expect(plan.pairs(ofAll: rows) == seen[rows].reduce(0, +))
            #expect(plan.pairs(ofFresh: rows) == seen[rows].reduce(0, +))
            let shares = plan.shares(ofAll: rows)
            #expect(shares.fresh.rows == rows.count && shares.fresh.pairs == seen[rows].reduce(0, +))
            #expect(shares.fresh.lossRows == losses[rows].count { $0 })
        }
    }

    /// A step has samples of one objective, in the order in which they came.
    @Test func stepsDoNotMixObjectives() {
        var trainer = Self.trainer { $0.updateEvery = 2 }
        func add(_ request: Int, _ kind: Feedback.Kind) {
            trainer.add(
                Sample(
                    request: request, promptTokens: 3, objective: kind, answers: [Sample.Answer(number: 0, tokens: 2)],
                    record: [], ready: SimTime(nanoseconds: Int64(request))))
        }
        for (request, kind) in [(0, .sft), (1, .dpo), (2, .dpo), (3, .sft), (4, .group)] as [(Int, Feedback.Kind)] {
            add(request, kind)
        }
        var steps: [[Int]] = []
        while trainer.beginStep(at: .zero, draining: false) || trainer.beginStep(at: .zero, draining: true) {
            steps.append(trainer.step?.record.learned.map(\.request) ?? [])
            trainer.finishStep()
        }
        #expect(steps == [[0, 3], [1, 2], [4]])
        #expect(!trainer.hasWork)
    }

    /// Pairs bring the reference model's units first, then scores of both; the reference never adapts.
    @Test func pairsRunTheReferenceFirst() {
        let planner = UnitPlanner(layers: 3, trainedParameters: 10, quantumMax: .milliseconds(1))
        var batch = MicroBatch(
            id: 0, version: 0,
            sequences: [
                TrainingSequencePlan(request: 0, promptTokens: 5, responseTokens: 2, lossTokens: 4..<6, recorded: [])
            ], stepLossTokens: 2)
        let plain = planner.units(for: batch) { _ in SimDuration(nanoseconds: 10) }.units
        batch.objective = .dpo
        let units = planner.units(for: batch) { _ in SimDuration(nanoseconds: 10) }.units
        let reference = units.prefix { $0.phase == .reference }
        #expect(
            Array(reference) == (0..<3).map { .reference(layer: $0, rows: 0..<6) } + [
                .score(rows: 0..<2, ofReference: true)
            ])
        #expect(units.dropFirst(reference.count).filter { $0 != .score(rows: 0..<2, ofReference: false) } == plain)
        let lora = OperatorList(model: .tiny, tuning: .lora(rank: 4, alpha: 8, targets: Projection.allCases))
        let full = OperatorList(model: .tiny, tuning: .full)
        for layer in 0..<3 {
            let operators = lora.operators(of: .reference(layer: layer, rows: 0..<6), in: batch)
            #expect(operators == full.operators(of: .forward(layer: layer, rows: 0..<6), in: batch))
        }
    }
}
