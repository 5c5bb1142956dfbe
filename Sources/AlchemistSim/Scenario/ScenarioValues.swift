internal import Simulator

extension TrainingConfiguration.Staleness {
    var text: String {
        switch self {
        case .exact: "exact"
        case .bounded(let versions): "bounded(\(versions))"
        case .any: "any"
        }
    }

    init(text: String) throws(ValueProblem) {
        switch text {
        case "exact": self = .exact
        case "any": self = .any
        default:
            guard text.hasPrefix("bounded("), text.hasSuffix(")"), let versions = Int(text.dropFirst(8).dropLast()),
                versions >= 0
            else { throw ValueProblem(expected: "exact, bounded(K) with a whole number K, or any") }
            self = .bounded(versions)
        }
    }
}

extension RecordSelection {
    var text: String {
        switch self {
        case .all: "all"
        case .fraction(let share): "fraction(\(Quantity.short(share)))"
        case .expectedFeedback(let recall, let precision):
            "expected_feedback(\(Quantity.short(recall)),\(Quantity.short(precision)))"
        }
    }

    init(text: String) throws(ValueProblem) {
        if text == "all" {
            self = .all
            return
        }
        let problem = ValueProblem(
            expected: "all, fraction(F), or expected_feedback(RECALL,PRECISION), each number from 0 to 1")
        guard text.hasSuffix(")"), let open = text.firstIndex(of: "(") else { throw problem }
        let numbers = text[text.index(after: open)...].dropLast().split(
            separator: ",", omittingEmptySubsequences: false)
        var values: [Double] = []
        for number in numbers {
            do { values.append(try Quantity.number(number.trimmed, in: 0...1)) } catch { throw problem }
        }
        switch (text[..<open], values.count) {
        case ("fraction", 1): self = .fraction(values[0])
        case ("expected_feedback", 2): self = .expectedFeedback(recall: values[0], precision: values[1])
        default: throw problem
        }
    }
}

extension RecordingConfiguration.Headroom {
    var text: String {
        switch self {
        case .bytes(let bytes): Quantity.write(bytes)
        case .share(let share): Quantity.short(share * 100) + "%"
        }
    }

    init(text: String) throws(ValueProblem) {
        let problem = ValueProblem(expected: "an amount of memory such as 512MiB, or a percentage from 0% to 100%")
        do {
            if text.hasSuffix("%") {
                self = .share(try Quantity.number(text.dropLast().trimmed, in: 0...100) / 100)
            } else {
                self = .bytes(try Quantity.bytes(text))
            }
        } catch { throw problem }
    }
}

extension KVMemory {
    var text: String {
        switch self {
        case .auto: "auto"
        case .bytes(let bytes): Quantity.write(bytes)
        case .share(let share): "share(\(Quantity.short(share)))"
        }
    }

    init(text: String) throws(ValueProblem) {
        if text == "auto" {
            self = .auto
        } else if text.hasPrefix("share("), text.hasSuffix(")") {
            self = .share(try Quantity.number(String(text.dropFirst(6).dropLast()), in: 0...1))
        } else {
            do { self = .bytes(try Quantity.bytes(text)) } catch {
                throw ValueProblem(expected: "auto, " + error.expected + ", or share(U) with U from 0 to 1")
            }
        }
    }
}
