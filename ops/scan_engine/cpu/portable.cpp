// The scan kernels for any processor.
#include "engine.h"

#define ISA portable
#define ISA_NAME "portable"
#define LANE_BYTES 16
#include "engine_impl.h"
