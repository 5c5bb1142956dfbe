// Counts the calling thread's requests for memory. These definitions take the place of the C library's in the program
// that they are linked into, shared libraries included, and hand each request on to it.

#include "allocation_count.h"

#include <errno.h>
#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define ALCHEMIST_SANITIZED 1
#endif
#endif

static _Thread_local uint64_t count;

uint64_t alchemist_allocation_count(void) { return count; }

#if defined(ALCHEMIST_SANITIZED) || !defined(__GLIBC__)

bool alchemist_counts_allocations(void) { return false; }

#else

bool alchemist_counts_allocations(void) { return true; }

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t members, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size) {
    count++;
    return __libc_malloc(size);
}

void *calloc(size_t members, size_t size) {
    count++;
    return __libc_calloc(members, size);
}

void *realloc(void *memory, size_t size) {
    count++;
    return __libc_realloc(memory, size);
}

void *memalign(size_t alignment, size_t size) {
    count++;
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    count++;
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size) {
    if (alignment < sizeof(void *) || (alignment & (alignment - 1)) != 0) { return EINVAL; }
    count++;
    void *result = __libc_memalign(alignment, size);
    if (result == NULL) { return ENOMEM; }
    *memory = result;
    return 0;
}

#endif
