#ifndef ALCHEMIST_BUILD_INFO_H
#define ALCHEMIST_BUILD_INFO_H

/// The commit that the program was built from, or "unknown".
const char *alchemist_commit(void);

/// Instruction sets that the compiler was allowed to use, separated by spaces.
const char *alchemist_build_features(void);

/// The first of them that this machine's processor lacks, or NULL when it has all.
const char *alchemist_missing_feature(void);

#endif
