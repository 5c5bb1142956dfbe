import Foundation

/// The program, while it runs. (Foundation's `Process` takes a program for alive as long as its children are.)
final class Running {
    let process: pid_t
    private let outputPath: String
    private let errorPath: String
    private var status: Int32?

    /// - Parameter bin: the folder whose `bin` comes first among commands; what is printed goes into it.
    init(_ arguments: [String], _ bin: borrowing Folder) throws {
        let name = UUID().uuidString
        (outputPath, errorPath) = (bin.path(name + ".output"), bin.path(name + ".errors"))
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, outputPath, O_WRONLY | O_CREAT, 0o600)
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errorPath, O_WRONLY | O_CREAT, 0o600)
        let path = bin.path("bin") + ":" + (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin")
        let words = (["/usr/bin/env", "-u", "OPENBLAS_CORETYPE", "PATH=" + path, Program.path] + arguments).map {
            strdup($0)
        }
        defer { for word in words { free(word) } }
        var process: pid_t = 0
        let code = posix_spawn(&process, "/usr/bin/env", &actions, nil, words + [nil], environ)
        guard code == 0 else { throw POSIXError(POSIXErrorCode(rawValue: code) ?? .ENOENT) }
        self.process = process
    }

    deinit {
        guard status == nil else { return }
        kill(process, SIGKILL)
        _ = end()
    }

    private func text(_ path: String) -> String {
        String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
    }

    var output: String { text(outputPath) }
    var errors: String { text(errorPath) }

    var isRunning: Bool {
        var found: Int32 = 0
        if status == nil, waitpid(process, &found, WNOHANG) == process { status = found }
        return status == nil
    }

    /// Waits until its standard error says something; false if it ends before, or a minute is over.
    func waits(for said: (String) -> Bool) -> Bool {
        for _ in 0..<6000 {
            if said(errors) { return true }
            if !isRunning { return said(errors) }
            usleep(10_000)
        }
        return false
    }

    /// Waits for its end, two minutes at most; its exit code, or 128 and the signal.
    @discardableResult
    func end() -> Int32 {
        for _ in 0..<24000 where isRunning { usleep(5000) }
        guard let status else { return -1 }
        let signal = status & 0x7f
        return signal == 0 ? (status >> 8) & 0xff : 128 + signal
    }
}
