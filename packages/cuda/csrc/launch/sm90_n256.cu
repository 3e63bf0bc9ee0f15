// Hopper kernel for batches of up to 256 rows.
#include "sm90_launch.cuh"

namespace flashsampling {
FLASHSAMPLING_SM90_WIDTH(256)
}
