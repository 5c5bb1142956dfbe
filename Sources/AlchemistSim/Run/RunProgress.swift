internal import Simulator

/// How far a run is.
public struct RunProgress: Sendable {
    public enum Stage: Sendable, Equatable {
        /// Reading a checkpoint.
        case loading
        case calibrating
        case running(arm: String, round: Int, rounds: Int)
        /// Replaying an arm over the costs that all arms have in common.
        case pairing(arm: String)
    }

    public var stage: Stage
    public var finished: Int
    public var requests: Int
}

/// Who is told how far a run is, and who may end it.
struct RunWatcher {
    let requests: Int
    let progress: (RunProgress) -> Void
    let shouldStop: () -> Bool

    func tell(_ stage: RunProgress.Stage, finished: Int) {
        progress(RunProgress(stage: stage, finished: finished, requests: requests))
    }
}

/// What came of running all arms.
struct RunOutcome {
    /// By arm and repeat.
    var logs: [[ArmLog]]
    /// Distinct profiles, in the order of their first use, and which one each arm used.
    var profiles: [Hardware] = []
    var profileOfArm: [Int?]
    var interrupted = false
    var failure: (any Error)?

    init(arms: Int) {
        logs = Array(repeating: [], count: arms)
        profileOfArm = Array(repeating: nil, count: arms)
    }

    mutating func note(_ profile: Hardware, ofArm arm: Int) {
        guard profileOfArm[arm] == nil else { return }
        if let known = profiles.firstIndex(of: profile) {
            profileOfArm[arm] = known
        } else {
            profiles.append(profile)
            profileOfArm[arm] = profiles.count - 1
        }
    }
}
