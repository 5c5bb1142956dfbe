#include "build_info.h"

#include <stddef.h>

#ifndef ALCHEMIST_COMMIT
#define ALCHEMIST_COMMIT "unknown"
#endif

const char *alchemist_commit(void) { return ALCHEMIST_COMMIT; }

const char *alchemist_build_features(void) {
    return ""
#ifdef __AVX2__
           "avx2 "
#endif
#ifdef __FMA__
           "fma "
#endif
#ifdef __AVX512F__
           "avx512f "
#endif
#ifdef __AVX512DQ__
           "avx512dq "
#endif
#ifdef __AVX512BW__
           "avx512bw "
#endif
#ifdef __AVX512VL__
           "avx512vl "
#endif
#ifdef __AVX512BF16__
           "avx512bf16 "
#endif
        ;
}

const char *alchemist_missing_feature(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
#ifdef __AVX2__
    if (!__builtin_cpu_supports("avx2")) return "avx2";
#endif
#ifdef __FMA__
    if (!__builtin_cpu_supports("fma")) return "fma";
#endif
#ifdef __AVX512F__
    if (!__builtin_cpu_supports("avx512f")) return "avx512f";
#endif
#ifdef __AVX512DQ__
    if (!__builtin_cpu_supports("avx512dq")) return "avx512dq";
#endif
#ifdef __AVX512BW__
    if (!__builtin_cpu_supports("avx512bw")) return "avx512bw";
#endif
#ifdef __AVX512VL__
    if (!__builtin_cpu_supports("avx512vl")) return "avx512vl";
#endif
#endif
    return NULL;
}
