#ifndef ALCHEMIST_CHDF5_H
#define ALCHEMIST_CHDF5_H

#include <hdf5.h>

#endif
