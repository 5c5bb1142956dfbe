#ifndef ALLOCATION_COUNT_H
#define ALLOCATION_COUNT_H

#include <stdbool.h>
#include <stdint.h>

/// Whether allocations are counted: not under a sanitizer, which has an allocator of its own.
bool alchemist_counts_allocations(void);

/// How often the calling thread has asked for memory since it began.
uint64_t alchemist_allocation_count(void);

#endif
