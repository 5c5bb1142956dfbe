// What Swift cannot import from zlib: macros with arguments.

#pragma once
#include <zlib.h>

/// `inflateInit2` for members of a gzip file.
static inline int alchemist_inflate_init_gzip(z_stream *stream) { return inflateInit2(stream, 15 + 16); }
