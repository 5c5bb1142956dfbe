#include "build_info.h"

#include <stddef.h>

#ifndef ALCHEMIST_COMMIT
#define ALCHEMIST_COMMIT "unknown"
#endif

const char *alchemist_commit(void) { return ALCHEMIST_COMMIT; }

// Instruction sets that the compiler was allowed to use: each applies F to its name, or is nothing.
#ifdef __AVX2__
#define AVX2(F) F("avx2")
#else
#define AVX2(F)
#endif
#ifdef __BMI2__
#define BMI2(F) F("bmi2")
#else
#define BMI2(F)
#endif
#ifdef __FMA__
#define FMA(F) F("fma")
#else
#define FMA(F)
#endif
#ifdef __AVX512F__
#define AVX512F(F) F("avx512f")
#else
#define AVX512F(F)
#endif
#ifdef __AVX512CD__
#define AVX512CD(F) F("avx512cd")
#else
#define AVX512CD(F)
#endif
#ifdef __AVX512DQ__
#define AVX512DQ(F) F("avx512dq")
#else
#define AVX512DQ(F)
#endif
#ifdef __AVX512BW__
#define AVX512BW(F) F("avx512bw")
#else
#define AVX512BW(F)
#endif
#ifdef __AVX512VL__
#define AVX512VL(F) F("avx512vl")
#else
#define AVX512VL(F)
#endif
#ifdef __AVX512VBMI2__
#define AVX512VBMI2(F) F("avx512vbmi2")
#else
#define AVX512VBMI2(F)
#endif
#ifdef __AVX512VNNI__
#define AVX512VNNI(F) F("avx512vnni")
#else
#define AVX512VNNI(F)
#endif
#ifdef __AVX512BF16__
#define AVX512BF16(F) F("avx512bf16")
#else
#define AVX512BF16(F)
#endif
#define FEATURES(F) \
    AVX2(F) BMI2(F) FMA(F) AVX512F(F) AVX512CD(F) AVX512DQ(F) \
    AVX512BW(F) AVX512VL(F) AVX512VBMI2(F) AVX512VNNI(F) AVX512BF16(F)

#define WORD(name) name " "
const char *alchemist_build_features(void) { return "" FEATURES(WORD); }

#define CHECK(name) \
    if (!__builtin_cpu_supports(name)) return name;

const char *alchemist_missing_feature(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    FEATURES(CHECK)
#endif
    return NULL;
}
