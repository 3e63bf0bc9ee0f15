// Stands in for the driver's header where kernels run by emulation: tensor maps of two dimensions.
#pragma once

#include <cstdint>

typedef uint32_t cuuint32_t;
typedef uint64_t cuuint64_t;

enum CUresult { CUDA_SUCCESS = 0, CUDA_ERROR_INVALID_VALUE = 1 };
enum CUtensorMapDataType { CU_TENSOR_MAP_DATA_TYPE_FLOAT16 = 6, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 = 9 };
enum CUtensorMapInterleave { CU_TENSOR_MAP_INTERLEAVE_NONE = 0 };
enum CUtensorMapSwizzle { CU_TENSOR_MAP_SWIZZLE_NONE = 0, CU_TENSOR_MAP_SWIZZLE_128B = 3 };
enum CUtensorMapL2promotion { CU_TENSOR_MAP_L2_PROMOTION_NONE = 0, CU_TENSOR_MAP_L2_PROMOTION_L2_256B = 3 };
enum CUtensorMapFloatOOBfill { CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE = 0 };

// A row-major matrix of 16-bit elements, and the box that one copy takes of it.
struct CUtensorMap {
  const uint8_t* data;
  uint64_t columns, rows, row_bytes;
  uint32_t box_columns, box_rows;
};

// What the driver refuses of a matrix with 128-byte swizzle is refused here.
inline CUresult cuTensorMapEncodeTiled(CUtensorMap* map, CUtensorMapDataType, cuuint32_t rank, void* data,
                                       const cuuint64_t* sizes, const cuuint64_t* strides, const cuuint32_t* box,
                                       const cuuint32_t* steps, CUtensorMapInterleave, CUtensorMapSwizzle swizzle,
                                       CUtensorMapL2promotion, CUtensorMapFloatOOBfill) {
  const bool is_valid = rank == 2 && reinterpret_cast<uintptr_t>(data) % 16 == 0 && strides[0] % 16 == 0 &&
                        strides[0] < (1ull << 40) && sizes[0] > 0 && sizes[0] <= (1ull << 32) && sizes[1] > 0 &&
                        sizes[1] <= (1ull << 32) && box[0] * 2 == 128 && box[1] > 0 && box[1] <= 256 && steps[0] == 1 &&
                        steps[1] == 1 && swizzle == CU_TENSOR_MAP_SWIZZLE_128B;
  if (!is_valid) return CUDA_ERROR_INVALID_VALUE;
  *map = {static_cast<const uint8_t*>(data), sizes[0], sizes[1], strides[0], box[0], box[1]};
  return CUDA_SUCCESS;
}
