#ifndef ALCHEMIST_COPENBLAS_H
#define ALCHEMIST_COPENBLAS_H

#include <cblas.h>

#endif
