#ifndef ALCHEMIST_CHDF5_H
#define ALCHEMIST_CHDF5_H

#include <hdf5.h>
#include <hdf5_hl.h>

// Swift imports neither macros that expand to expressions nor those that cast. Each function below is one such macro
// under its own name, written for HDF5 1.10 and later. Those for types and property lists are calls for another
// reason too: the identifiers exist only once the library is open, and their macros open it.

static inline unsigned chdf5_access_read_only(void) { return H5F_ACC_RDONLY; }
static inline unsigned chdf5_access_truncate(void) { return H5F_ACC_TRUNC; }
static inline H5F_libver_t chdf5_latest_format(void) { return H5F_LIBVER_LATEST; }

static inline hid_t chdf5_default_properties(void) { return H5P_DEFAULT; }
static inline hid_t chdf5_file_creation(void) { return H5P_FILE_CREATE; }
static inline hid_t chdf5_file_access(void) { return H5P_FILE_ACCESS; }
static inline hid_t chdf5_dataset_creation(void) { return H5P_DATASET_CREATE; }
static inline hid_t chdf5_group_creation(void) { return H5P_GROUP_CREATE; }
static inline hid_t chdf5_link_creation(void) { return H5P_LINK_CREATE; }

// Types as they are stored: little-endian on every machine.
static inline hid_t chdf5_int32(void) { return H5T_STD_I32LE; }
static inline hid_t chdf5_int64(void) { return H5T_STD_I64LE; }
static inline hid_t chdf5_uint64(void) { return H5T_STD_U64LE; }
static inline hid_t chdf5_float64(void) { return H5T_IEEE_F64LE; }

// Types as they lie in memory.
static inline hid_t chdf5_native_int32(void) { return H5T_NATIVE_INT32; }
static inline hid_t chdf5_native_int64(void) { return H5T_NATIVE_INT64; }
static inline hid_t chdf5_native_uint64(void) { return H5T_NATIVE_UINT64; }
static inline hid_t chdf5_native_float64(void) { return H5T_NATIVE_DOUBLE; }

// A C string; its size is one character until it is set.
static inline hid_t chdf5_string(void) { return H5T_C_S1; }
static inline size_t chdf5_variable_length(void) { return H5T_VARIABLE; }

static inline hid_t chdf5_whole_dataspace(void) { return H5S_ALL; }
static inline hsize_t chdf5_unlimited(void) { return H5S_UNLIMITED; }

// Has `visit` called with the name of each link in a group, in no order; once it returns other than zero, no more. Negative
// where the group cannot be read. To ask for names by their index, or in an order, has the library read all of a large group
// into a table first: for every name again, and where a link is damaged it frees what it has not allocated (1.10.8).
typedef int (*chdf5_name_visitor)(const char *name, void *context);
struct chdf5_visit {
    chdf5_name_visitor visit;
    void *context;
};
static inline herr_t chdf5_visit_link(hid_t group, const char *name, const H5L_info_t *info, void *data) {
    struct chdf5_visit *visit = (struct chdf5_visit *)data;
    (void)group;
    (void)info;
    return visit->visit(name, visit->context);
}
static inline int chdf5_visit_names(hid_t file, const char *group, chdf5_name_visitor visit, void *context) {
    struct chdf5_visit data = {visit, context};
    hsize_t start = 0;
    return H5Literate_by_name(file, group, H5_INDEX_NAME, H5_ITER_NATIVE, &start, chdf5_visit_link, &data, H5P_DEFAULT);
}

// 1 for an object of its own, 0 for a link to another place or file, negative where there is none. The structure that is
// asked for has other names in later versions.
static inline int chdf5_is_hard_link(hid_t file, const char *path) {
    H5L_info_t info;
    return H5Lget_info(file, path, &info, H5P_DEFAULT) < 0 ? -1 : info.type == H5L_TYPE_HARD;
}

static inline hid_t chdf5_default_error_stack(void) { return H5E_DEFAULT; }

#endif
