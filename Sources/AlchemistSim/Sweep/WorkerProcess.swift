internal import Foundation

/// One worker of a sweep on this machine: it reads points from its standard input, and says on its standard output, line
/// by line, what became of each.
final class WorkerProcess {
    let process: pid_t
    /// What it says.
    let output: Int32
    /// Points that it was given and has not answered for, the one it is at first.
    private(set) var pending: [SweepPoint] = []
    private var input: Int32?
    private var unread: [UInt8] = []
    private let errors: String

    /// - Parameters:
    ///   - command: the program and its arguments.
    ///   - errors: the file that its standard error goes to.
    init(_ command: [String], errors: String) throws(SweepError) {
        var (toWorker, fromWorker): ([Int32], [Int32]) = ([-1, -1], [-1, -1])
        guard Self.pipe(&toWorker) == 0 else {
            throw .system(action: "talk to a worker of", path: command[0], code: errno)
        }
        guard Self.pipe(&fromWorker) == 0 else {
            let code = errno
            toWorker.forEach { close($0) }
            throw .system(action: "talk to a worker of", path: command[0], code: code)
        }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, toWorker[0], STDIN_FILENO)
        posix_spawn_file_actions_adddup2(&actions, fromWorker[1], STDOUT_FILENO)
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errors, O_WRONLY | O_CREAT | O_TRUNC, 0o666)
        let words = command.map { strdup($0) }
        defer { for word in words { free(word) } }
        var process: pid_t = 0
        let code = posix_spawn(&process, command[0], &actions, nil, words + [nil], environ)
        close(toWorker[0])
        close(fromWorker[1])
        guard code == 0 else {
            close(toWorker[1])
            close(fromWorker[0])
            throw .system(action: "start a worker that writes into", path: errors, code: code)
        }
        self.process = process
        self.errors = errors
        input = toWorker[1]
        output = fromWorker[0]
    }

    /// A pipe whose ends are closed in other workers.
    private static func pipe(_ ends: inout [Int32]) -> Int32 {
        let status = Foundation.pipe(&ends)
        guard status == 0 else { return status }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return 0
    }

    deinit {
        finish()
        close(output)
    }

    /// Gives it a point. If it is gone, that shows when its output ends.
    func give(_ point: SweepPoint) {
        guard let input else { return }
        pending.append(point)
        var rest = Array((PointsFile.line(point) + "\n").utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(input, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }

    /// There will be no more points.
    func finish() {
        if let input { close(input) }
        input = nil
    }

    var isFinishing: Bool { input == nil }

    /// Takes points back that it has not begun.
    func takeBack() -> [SweepPoint] {
        defer { pending = Array(pending.prefix(1)) }
        return Array(pending.dropFirst())
    }

    enum Answer {
        case whole(SweepPoint, seconds: Double)
        case failed(SweepPoint, code: Int32, message: String)
    }

    /// Reads what is there; nil once the worker has ended.
    func read() -> [Answer]? {
        var block = [UInt8](repeating: 0, count: 1 << 14)
        let count = block.withUnsafeMutableBytes { Foundation.read(output, $0.baseAddress, $0.count) }
        if count < 0, errno == EINTR || errno == EAGAIN { return [] }
        guard count > 0 else { return nil }
        unread += block[..<count]
        var answers: [Answer] = []
        while let newline = unread.firstIndex(of: UInt8(ascii: "\n")) {
            let line = String(decoding: unread[..<newline], as: UTF8.self)
            unread.removeFirst(newline + 1)
            if let answer = answer(line) { answers.append(answer) }
        }
        return answers
    }

    private func answer(_ line: String) -> Answer? {
        let fields = line.split(separator: "\t", maxSplits: 3, omittingEmptySubsequences: false).map(String.init)
        guard fields.count > 2, let index = pending.firstIndex(where: { $0.id == fields[1] }) else { return nil }
        switch fields[0] {
        case "whole": return .whole(pending.remove(at: index), seconds: Double(fields[2]) ?? .nan)
        case "failed":
            return .failed(
                pending.remove(at: index), code: Int32(fields[2]) ?? 1, message: fields.count > 3 ? fields[3] : "")
        default: return nil
        }
    }

    /// Waits for its end; says how it ended, with the last words of its standard error.
    func end() -> (text: String, isInterrupted: Bool, code: Int32) {
        finish()
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        let signal = status & 0x7f
        let code = (status >> 8) & 0xff
        let words = (try? String(contentsOfFile: errors, encoding: .utf8)) ?? ""
        let last = words.split(separator: "\n").last.map { ": " + String($0.prefix(400)) } ?? ""
        let how = signal == 0 ? "ended with exit code \(code)" : "was ended by signal \(signal)"
        return ("its worker " + how + last, signal == 0 && code == 130, code)
    }
}
