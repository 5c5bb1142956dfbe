/// How a safetensors file stores the values of a tensor, by its name there.
struct TensorType: Sendable, Hashable {
    let name: String

    static let float32 = TensorType(name: "F32")
    static let float16 = TensorType(name: "F16")
    static let bfloat16 = TensorType(name: "BF16")

    /// Types that weights can be read from.
    static let readable: [TensorType] = [.float32, .float16, .bfloat16]

    /// Bits of one value; nil for a type that this program does not know.
    var bits: Int? {
        switch name {
        case "F4": 4
        case "F6_E2M3", "F6_E3M2": 6
        case "BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ": 8
        case "I16", "U16", "F16", "BF16": 16
        case "I32", "U32", "F32": 32
        case "I64", "U64", "F64", "C64": 64
        default: nil
        }
    }
}
