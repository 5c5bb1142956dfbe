internal import CHDF5

/// An identifier of the HDF5 library, owned: a file, dataset, dataspace, type, attribute or property list that is
/// closed exactly once, when its owner goes away.
struct HDF5Handle: ~Copyable {
    let id: hid_t

    /// Takes over an identifier that the library has just made.
    init(owning id: hid_t) { self.id = id }

    deinit {
        // Every kind of identifier counts its references and closes at zero.
        H5Idec_ref(id)
    }

    /// Gives the identifier up to a call that closes it and reports how that went.
    consuming func release() -> hid_t {
        let id = id
        discard self
        return id
    }
}
