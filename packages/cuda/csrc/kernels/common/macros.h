// What lets one header serve device code and host C++ (host tests, reference checks).
#pragma once

#if defined(__CUDACC__)
#define FS_HOST_DEVICE __host__ __device__ __forceinline__
#define FS_DEVICE __device__ __forceinline__
#else
#define FS_HOST_DEVICE inline
#endif

// The host compiler does not know the pragma, in either of its roles.
#if defined(__CUDA_ARCH__)
#define FS_UNROLL _Pragma("unroll")
#else
#define FS_UNROLL
#endif
