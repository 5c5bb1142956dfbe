import Foundation
import Synchronization

/// Set by SIGINT and SIGTERM; a second signal ends the process at once.
enum Interrupt {
    private static let requested = Atomic<Bool>(false)

    static var isRequested: Bool { requested.load(ordering: .relaxed) }

    static func install() {
        // Writing to a closed pipe is an error to report, not a reason to die.
        signal(SIGPIPE, SIG_IGN)
        // A parent may have started us with these blocked, as threads of a task pool do.
        var wanted = sigset_t()
        sigemptyset(&wanted)
        sigaddset(&wanted, SIGINT)
        sigaddset(&wanted, SIGTERM)
        pthread_sigmask(SIG_UNBLOCK, &wanted, nil)
        for number in [SIGINT, SIGTERM] {
            signal(number) { number in
                if Interrupt.requested.exchange(true, ordering: .relaxed) { _exit(128 + number) }
            }
        }
    }
}
