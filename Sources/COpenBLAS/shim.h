#ifndef ALCHEMIST_COPENBLAS_H
#define ALCHEMIST_COPENBLAS_H

#include <cblas.h>

// Swift has no way to say these; they are hints and change no result.

/// Asks for the cache line at `address` ahead of its use; any address is allowed.
static inline void alchemist_prefetch(const float *address) { __builtin_prefetch(address); }

/// The same for the second-level cache, where more can be under way at a time.
static inline void alchemist_prefetch_far(const float *address) { __builtin_prefetch(address, 0, 2); }

/// Tells the processor that this thread is polling.
static inline void alchemist_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

#endif
