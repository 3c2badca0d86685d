/* The one copy of the slow exp and log that all instruction sets share. */
#include "solvent.h"

#include <math.h>
#include <string.h>

#define INLINE static inline
#include "scalars.h"
#include "exact.h"
