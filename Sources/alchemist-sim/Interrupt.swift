import Foundation
import Synchronization

/// Set by SIGINT, SIGTERM and SIGHUP; a second signal ends the process at once.
enum Interrupt {
    private static let requested = Atomic<Bool>(false)

    static var isRequested: Bool { requested.load(ordering: .relaxed) }

    static func install() {
        // Writing to a closed pipe is an error to report, not a reason to die.
        signal(SIGPIPE, SIG_IGN)
        _ = ignoresHangup
        // A parent may have started us with these blocked, as threads of a task pool do.
        var wanted = sigset_t()
        sigemptyset(&wanted)
        sigaddset(&wanted, SIGINT)
        sigaddset(&wanted, SIGTERM)
        pthread_sigmask(SIG_UNBLOCK, &wanted, nil)
        for number in numbers {
            signal(number) { number in
                if Interrupt.requested.exchange(true, ordering: .relaxed) { _exit(128 + number) }
            }
        }
        // Started under nohup, a run outlives its terminal.
        if ignoresHangup { signal(SIGHUP, SIG_IGN) }
    }

    /// For a command that leaves nothing behind: the first signal ends it.
    static func endAtOnce() {
        for number in numbers where !(number == SIGHUP && ignoresHangup) {
            signal(number) { _ in _exit(ExitStatus.interrupted.rawValue) }
        }
    }

    private static let numbers = [SIGINT, SIGTERM, SIGHUP]

    /// Whether the parent had hang-ups ignored.
    private static let ignoresHangup: Bool = {
        var action = sigaction()
        sigaction(SIGHUP, nil, &action)
        return unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
            == unsafeBitCast(SIG_IGN, to: Int.self)
    }()
}
