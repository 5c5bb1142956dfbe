/// What a piece of work is expected to take, and what it must take at least.
public struct Price: Sendable, Equatable {
    public var seconds: Double
    public var floor: Double

    public static let zero = Price(seconds: 0, floor: 0)

    public static func += (a: inout Price, b: Price) {
        a.seconds += b.seconds
        a.floor += b.floor
    }

    /// Whole nanoseconds, rounded up, and at least one: work takes time.
    public var duration: SimDuration {
        SimDuration(nanoseconds: max(1, Int64((min(seconds, 1e9) * 1e9).rounded(.up))))
    }
}

/// Prices plans by their operators on some hardware. Every estimate and every modelled duration comes from here.
///
/// Prices that depend on a number of rows alone are remembered, because serving asks for the same ones over and over. So
/// are the units of the last micro-batch, whose layers are alike and which is asked about while it is planned and run.
public final class OperatorPricer {
    /// Where times of single operators come from.
    private enum Costs {
        case surfaces(HardwareProfile)
        case formulas(AcceleratorPricer)
    }

    public let list: OperatorList
    private let costs: Costs
    private let limits: PhysicalLimits
    private let floorOfWeights: Double
    private var ofRows = PriceCache()
    private var ofEmitted = PriceCache()
    private var microBatch: [TrainingSequencePlan] = []
    private var ofUnits: [TrainerUnit: Price] = [:]

    /// - Parameter list: the operators as `hardware` executes them.
    public init(_ hardware: Hardware, _ list: OperatorList) {
        self.list = list
        limits = hardware.limits
        // All weights of the layers are read, whatever is in the caches: more than these hold comes from memory.
        let weights = Double(list.model.layers * list.model.matrixParametersPerLayer * list.widths.weights)
        floorOfWeights = max(0, weights - limits.cacheBytes) / limits.bytesPerSecond
        costs =
            switch hardware {
            case .machine(let profile): .surfaces(profile)
            case .accelerator(let accelerator, let setting): .formulas(AcceleratorPricer(accelerator, setting, list))
            }
    }

    /// A pricer by a measured profile.
    public convenience init(_ profile: HardwareProfile, _ list: OperatorList) { self.init(.machine(profile), list) }

    // MARK: Plans

    public func price(of plan: StepPlan) -> Price {
        switch plan {
        case .serve(let iteration): price(of: iteration)
        case .train(let quantum):
            quantum.units.reduce(into: .zero) { $0 += price(of: $1, in: quantum.microBatch) }
        }
    }

    public func price(of unit: TrainerUnit, in microBatch: MicroBatch) -> Price {
        if microBatch.sequences != self.microBatch {
            self.microBatch = microBatch.sequences
            ofUnits.removeAll(keepingCapacity: true)
        }
        let unit = representative(of: unit)
        if let price = ofUnits[unit] { return price }
        var sum = Price.zero
        list.forEachOperator(of: unit, in: microBatch) { sum += price(of: $0) }
        let corrected = corrected(sum, WorkPhase(unit.phase), rows: unit.rows, sequences: 0)
        ofUnits[unit] = corrected
        return corrected
    }

    /// The same unit of the lowest layer that does the same work: all between the first and the last are alike.
    private func representative(of unit: TrainerUnit) -> TrainerUnit {
        func lowest(_ layer: Int) -> Int {
            layer == 0 || layer == list.model.layers - 1 || list.roundingDiffers ? layer : 1
        }
        return switch unit {
        case .forward(let layer, let rows): .forward(layer: lowest(layer), rows: rows)
        case .reference(let layer, let rows): .reference(layer: lowest(layer), rows: rows)
        case .backward(let layer, let rows): .backward(layer: lowest(layer), rows: rows)
        case .score, .loss, .recompute, .gradientNorm, .optimizer: unit
        }
    }

    public func price(of iteration: ServingIteration) -> Price {
        var rows = 0
        var wanted = 0
        var emitted = 0
        var decoding = OperatorList.Decoding()
        var sum = Price.zero
        for slice in iteration.slices {
            rows += slice.tokens.count
            wanted += slice.wantedRows
            if slice.emitsToken { emitted += 1 }
            decoding.add(slice)
            if slice.tokens.count > 1 || slice.record != nil {
                list.forEachOperator(of: slice) { sum += price(of: $0) }
            }
        }
        guard rows > 0 else { return .zero }
        add(rows: rows, wanted: wanted, emitted: emitted, decoding, to: &sum)
        return corrected(
            sum, WorkPhase(iteration), rows: rows, sequences: iteration.slices.count, context: decoding.meanContext,
            decodesBefore: iteration.decodesBefore)
    }

    /// The price of an iteration that decodes a token of each of `sequences` sequences, whose contexts sum to `pairs`,
    /// when `decodesBefore` iterations in a row have only decoded.
    public func priceOfDecoding(sequences: Int, pairs: Int, decodesBefore: Int) -> Price {
        let decoding = OperatorList.Decoding(sequences: sequences, pairs: pairs)
        var sum = Price.zero
        add(rows: sequences, wanted: sequences, emitted: sequences, decoding, to: &sum)
        return corrected(
            sum, .decode, rows: sequences, sequences: sequences, context: decoding.meanContext,
            decodesBefore: decodesBefore)
    }

    /// Adds what an iteration takes whoever its tokens belong to, and its lone queries.
    private func add(
        rows: Int, wanted: Int, emitted: Int, _ decoding: OperatorList.Decoding, to sum: inout Price
    ) {
        sum += ofRows.price(rows, wanted) {
            self.sum { list.forEachOperator(ofRows: rows, wanted: wanted, $0) }
        }
        list.forEachOperator(of: decoding) { sum += price(of: $0) }
        if emitted > 0 {
            sum += ofEmitted.price(emitted, 0) { self.sum { list.forEachOperator(ofEmitted: emitted, $0) } }
        }
        sum.floor = max(sum.floor, floorOfWeights)
    }

    private func sum(_ operators: ((Operator) -> Void) -> Void) -> Price {
        var sum = Price.zero
        operators { sum += price(of: $0) }
        return sum
    }

    /// What a piece of work takes beside its operators.
    ///
    /// - Parameters:
    ///   - rows: of a serving iteration or of a unit of training.
    ///   - sequences: of a serving iteration; zero for a unit of training.
    ///   - context: the mean of an iteration that only decodes.
    ///   - decodesBefore: iterations right before it that only decoded.
    private func corrected(
        _ sum: Price, _ phase: WorkPhase, rows: Int, sequences: Int, context: Double = 0, decodesBefore: Int = 0
    ) -> Price {
        switch costs {
        case .surfaces(let profile):
            let correction = profile.corrections[phase] ?? .none
            let scale = correction.scale(of: rows, context: context, decodesBefore: decodesBefore)
            return Price(seconds: correction.overhead + scale * sum.seconds, floor: sum.floor)
        case .formulas(let pricer):
            let host = pricer.accelerator.constants.host
            let overhead = sequences > 0 ? host.iteration + Double(sequences) * host.sequence : host.unit
            return Price(seconds: sum.seconds + overhead, floor: sum.floor)
        }
    }

    // MARK: Operators

    /// All executions of an operator by itself.
    public func price(of op: Operator) -> Price {
        Price(seconds: Double(op.count) * seconds(of: op), floor: limits.floor(of: op))
    }

    /// One execution of an operator by itself, in seconds.
    public func seconds(of op: Operator) -> Double {
        switch costs {
        case .surfaces(let profile): profile.seconds(of: op, model: list.model)
        case .formulas(let pricer): pricer.seconds(of: op)
        }
    }
}
