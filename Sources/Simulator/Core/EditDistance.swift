/// Levenshtein's distance: the fewest insertions, deletions and replacements that turn one text into the other. Messages
/// use it to name what was most likely meant.
package func editDistance(_ a: some StringProtocol, _ b: some StringProtocol) -> Int {
    let b = Array(b.utf8)
    var row = Array(0...b.count)
    for (i, byte) in a.utf8.enumerated() {
        var diagonal = row[0]
        row[0] = i + 1
        for j in b.indices {
            let replaced = diagonal + (byte == b[j] ? 0 : 1)
            diagonal = row[j + 1]
            row[j + 1] = min(replaced, row[j] + 1, diagonal + 1)
        }
    }
    return row[b.count]
}
