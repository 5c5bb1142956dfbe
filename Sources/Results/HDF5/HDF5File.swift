internal import CHDF5
internal import Glibc

/// An open HDF5 file. Objects in it are named by their absolute path (`/arms/reuse`).
///
/// Objects are opened for one call and closed with it, apart from `HDF5Dataset`, which owns its own handle.
package struct HDF5File: ~Copyable {
    package let path: String
    private let handle: HDF5Handle

    package enum Kind: Sendable {
        case group, dataset
    }

    /// Makes an empty file, in place of one that may be there.
    package init(creating path: String) throws(HDF5Error) {
        let context = HDF5Context(file: path, object: "/")
        let access = try Self.access(context)
        let creation = try Self.untimed(chdf5_file_creation(), context)
        let handle = try context.open("create") {
            H5Fcreate(path, chdf5_access_truncate(), creation.id, access.id)
        }
        self.path = path
        self.handle = handle
    }

    /// Opens a file for reading. One that is missing, is not HDF5 or was cut off is an error that says so.
    package init(reading path: String) throws(HDF5Error) {
        let context = HDF5Context(file: path, object: "/")
        guard Glibc.access(path, R_OK) == 0 else { throw context.failure("open", String(cString: strerror(errno))) }
        guard try context.check("open", { H5Fis_hdf5(path) }) > 0 else {
            throw context.failure("open", "this is not an HDF5 file")
        }
        try HDF5TextHeaps.check(context)
        let access = try Self.access(context)
        let handle = try context.open("open") { H5Fopen(path, chdf5_access_read_only(), access.id) }
        self.path = path
        self.handle = handle
    }

    /// Closes the file and reports what writing its last parts ran into. Objects still open are an error.
    package consuming func close() throws(HDF5Error) {
        let context = context("/")
        let id = handle.release()
        try context.check("close") { H5Fclose(id) }
    }

    /// How many datasets, groups, types and attributes of this file are open.
    package var openObjects: Int {
        let all = UInt32(H5F_OBJ_DATASET | H5F_OBJ_GROUP | H5F_OBJ_DATATYPE | H5F_OBJ_ATTR)
        return H5Fget_obj_count(handle.id, all)
    }

    /// Makes a group in a group that exists.
    package func createGroup(_ path: String) throws(HDF5Error) {
        let context = context(path)
        let links = try Self.namesInUTF8(context)
        let creation = try Self.untimed(chdf5_group_creation(), context)
        _ = try context.open("create") {
            H5Gcreate2(handle.id, path, links.id, creation.id, chdf5_default_properties())
        }
    }

    /// More groups within groups than any file of this project has: where one holds itself, there is no end of them.
    private static let mostNested = 16

    /// The names in a group, in the order of their UTF-8 bytes.
    package func children(of group: String) throws(HDF5Error) -> [String] {
        let context = context(group)
        guard group.utf8.count(where: { $0 == UInt8(ascii: "/") }) <= Self.mostNested else {
            throw context.failure("list", "there are groups within groups without an end")
        }
        var names: [String] = []
        try withUnsafeMutablePointer(to: &names) { names throws(HDF5Error) in
            _ = try context.check("list") {
                chdf5_visit_names(
                    handle.id, group,
                    { name, names in
                        let names = names?.assumingMemoryBound(to: [String].self)
                        if let name { names?.pointee.append(String(cString: name)) }
                        return 0
                    }, names)
            }
        }
        // Names become those of files in an export.
        for name in names where ["", ".", ".."].contains(name) || name.contains("/") {
            throw context.failure("list", "\"\(name)\" in it is no name")
        }
        return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    /// What the object is, or `nil` for what a run's file does not hold, as links to other places or files.
    package func kind(of object: String) throws(HDF5Error) -> Kind? {
        if object != "/" {
            let isOwn = try context(object).check("open") { chdf5_is_hard_link(handle.id, object) }
            guard isOwn > 0 else { return nil }
        }
        let opened = try context(object).open("open") { H5Oopen(handle.id, object, chdf5_default_properties()) }
        return switch H5Iget_type(opened.id) {
        case H5I_GROUP: .group
        case H5I_DATASET: .dataset
        default: nil
        }
    }

    /// The paths of all datasets below `group`, depth first and by name.
    package func datasets(below group: String = "/") throws(HDF5Error) -> [String] {
        var paths: [String] = []
        for child in try children(of: group) {
            let path = group == "/" ? "/" + child : group + "/" + child
            switch try kind(of: path) {
            case .group: paths += try datasets(below: path)
            case .dataset: paths.append(path)
            case nil: break
            }
        }
        return paths
    }

    func context(_ object: String) -> HDF5Context { HDF5Context(file: path, object: object) }

    /// The identifier, for the other files of this folder.
    var id: hid_t { handle.id }

    /// Properties to create an object with, without time stamps: equal content gives equal bytes.
    static func untimed(_ kind: hid_t, _ context: HDF5Context) throws(HDF5Error) -> HDF5Handle {
        let creation = try context.open("create") { H5Pcreate(kind) }
        try context.check("create") { H5Pset_obj_track_times(creation.id, false) }
        return creation
    }

    static func namesInUTF8(_ context: HDF5Context) throws(HDF5Error) -> HDF5Handle {
        let links = try context.open("create") { H5Pcreate(chdf5_link_creation()) }
        try context.check("create") { H5Pset_char_encoding(links.id, H5T_CSET_UTF8) }
        return links
    }

    /// Closing fails while objects are open, so that a leak shows; the compact format of HDF5 1.8 and later.
    private static func access(_ context: HDF5Context) throws(HDF5Error) -> HDF5Handle {
        let access = try context.open("open") { H5Pcreate(chdf5_file_access()) }
        try context.check("open") { H5Pset_fclose_degree(access.id, H5F_CLOSE_SEMI) }
        try context.check("open") { H5Pset_libver_bounds(access.id, H5F_LIBVER_V18, chdf5_latest_format()) }
        return access
    }
}
