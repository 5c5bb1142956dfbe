internal import CHDF5

/// Dimension scales, as HDF5's own library of them and netCDF-4 have them: a reader finds a dimension's name and its
/// coordinates through these.
extension HDF5File {
    /// Makes a dataset of one dimension the scale of a dimension that is named as it is.
    package func makeScale(_ path: String) throws(HDF5Error) {
        let context = context(path)
        let dataset = try context.open("open") { H5Dopen2(id, path, chdf5_default_properties()) }
        let name = path.split(separator: "/").last.map(String.init) ?? path
        try context.check("make a scale of") { H5DSset_scale(dataset.id, name) }
    }

    /// Attaches a scale to each dimension of a dataset, in order.
    package func attach(scales: [String], to path: String) throws(HDF5Error) {
        let context = context(path)
        let dataset = try context.open("open") { H5Dopen2(id, path, chdf5_default_properties()) }
        for (dimension, name) in scales.enumerated() {
            let scale = try context.open("open the scale of") { H5Dopen2(id, name, chdf5_default_properties()) }
            try context.check("attach a scale to") { H5DSattach_scale(dataset.id, scale.id, UInt32(dimension)) }
        }
    }
}
