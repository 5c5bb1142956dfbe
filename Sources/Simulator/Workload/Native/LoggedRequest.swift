/// A request as servers log it: when it came and how long it was. Unlike a `Request` it holds no memory of its own, as
/// millions of them are written one after the other.
struct LoggedRequest {
    /// Its id is `r` and this.
    var number: Int
    var arrival: SimTime
    var promptTokens: Int
    var outputTokens: Int
    /// The tokens of each block of its prefix, if it has one.
    var blockTokens: Int?
}
