/*
 * FlashSampling: exact sampling inside the LM-head matmul, C ABI.
 *
 *   score[row][token]  = transform(hidden_states[row] . weight[token]) + gumbel_noise(seed, position, draw, token)
 *   out_token_ids[row] = argmax over tokens of score; the lowest token id wins ties
 *
 * No logits are ever written to memory. A call is one kernel on the caller's stream, or a few for hundreds of
 * rows or draws: it allocates nothing, never synchronises with the host, and takes every per-row parameter from
 * device memory, so it can be captured into a CUDA graph and replayed after seeds and positions were changed in
 * place.
 *
 * Rules for every function:
 *   - returns a flashsampling_status; nothing exits, nothing throws across this boundary
 *   - on failure flashsampling_last_error() tells the calling thread what was wrong
 *   - structs begin with struct_size = sizeof(the struct), so that fields can be appended later
 */
/* clang-format off: comments stand in columns */
#ifndef FLASHSAMPLING_H_
#define FLASHSAMPLING_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define FLASHSAMPLING_API __declspec(dllexport)
#else
#define FLASHSAMPLING_API __attribute__((visibility("default")))
#endif

/* Raised when a declared struct or function changes meaning; appending fields does not raise it. */
#define FLASHSAMPLING_ABI_VERSION 1

typedef enum flashsampling_status {
  FLASHSAMPLING_OK = 0,
  FLASHSAMPLING_INVALID_ARGUMENT = 1,    /* a pointer, size, stride or enum is not acceptable */
  FLASHSAMPLING_NOT_SERVED = 2,          /* a known field that this build does not serve yet */
  FLASHSAMPLING_UNSUPPORTED_DEVICE = 3,  /* the GPU is older than sm_80, or lacks the kernel asked for */
  FLASHSAMPLING_UNAVAILABLE = 4,         /* no driver or no device */
  FLASHSAMPLING_CUDA_ERROR = 5,          /* the CUDA runtime reported an error; its name is in the text */
  FLASHSAMPLING_WORKSPACE_TOO_SMALL = 6, /* see flashsampling_workspace_bytes() */
  FLASHSAMPLING_OUT_OF_MEMORY = 7        /* an allocation asked for through this ABI failed */
} flashsampling_status;

typedef enum flashsampling_dtype {
  FLASHSAMPLING_DTYPE_BF16 = 0,
  FLASHSAMPLING_DTYPE_F16 = 1
} flashsampling_dtype;

typedef enum flashsampling_noise_scheme {
  FLASHSAMPLING_NOISE_FLASH = 0, /* docs/noise.md */
  FLASHSAMPLING_NOISE_VLLM = 1   /* the sampler of vLLM's Model Runner V2, fp32 noise */
} flashsampling_noise_scheme;

typedef enum flashsampling_kernel {
  FLASHSAMPLING_KERNEL_AUTO = 0,
  FLASHSAMPLING_KERNEL_SM90A = 1, /* Hopper: TMA, wgmma, warp-specialised */
  FLASHSAMPLING_KERNEL_SMXX = 2   /* portable, sm_80 and later */
} flashsampling_kernel;

typedef enum flashsampling_logprobs_mode {
  FLASHSAMPLING_LOGPROBS_TRANSFORMED = 0, /* after bias, mask and temperature */
  FLASHSAMPLING_LOGPROBS_RAW = 1          /* before them: what vLLM reports by default */
} flashsampling_logprobs_mode;

typedef enum flashsampling_token_id_type {
  FLASHSAMPLING_TOKEN_ID_INT32 = 0,
  FLASHSAMPLING_TOKEN_ID_INT64 = 1
} flashsampling_token_id_type;

/* What a row's out_row_status holds; with anything but 0 its token ids are -1 and its logprobs NaN. */
typedef enum flashsampling_row_status {
  FLASHSAMPLING_ROW_OK = 0,
  FLASHSAMPLING_ROW_INVALID_LOGITS = 1,     /* NaN or +infinity among its logits */
  FLASHSAMPLING_ROW_ALL_TOKENS_MASKED = 2,  /* no token may be drawn */
  FLASHSAMPLING_ROW_INVALID_PARAMETERS = 3  /* temperature negative, NaN or infinite */
} flashsampling_row_status;

/* One GPU as this library sees it. Safe to use from several threads. */
typedef struct flashsampling_context flashsampling_context;

/* A cudaStream_t; NULL is the legacy default stream. */
typedef void* flashsampling_stream;

typedef struct flashsampling_device_properties {
  uint32_t struct_size;
  int32_t device_index;
  char name[256];
  int32_t compute_major;
  int32_t compute_minor;
  int32_t num_multiprocessors;
  int32_t l2_bytes;
  uint64_t total_memory_bytes;
  int32_t driver_version;    /* as cudaDriverGetVersion reports it: 13000 is 13.0 */
  int32_t runtime_version;   /* of the CUDA runtime inside this library */
  int32_t serves_sm90a;      /* 1 when FLASHSAMPLING_KERNEL_SM90A runs here */
  int32_t serves_smxx;       /* 1 when FLASHSAMPLING_KERNEL_SMXX runs here */
} flashsampling_device_properties;

/*
 * One call: batch_size rows, one vocabulary shard, max_num_samples draws a row.
 * Zero-initialise it, set struct_size, then the fields that differ from the defaults.
 * All pointers are device pointers. A NULL parameter array means that parameter's default for every row.
 */
typedef struct flashsampling_sample_args {
  uint32_t struct_size;

  /* --- Shape --- */
  uint32_t batch_size;      /* >= 1 */
  uint32_t hidden_size;     /* multiple of 8 */
  uint32_t shard_rows;      /* rows of weight: tokens vocab_start .. vocab_start + shard_rows - 1 */
  uint32_t vocab_start;     /* global token id of weight's first row; any value */
  uint32_t max_num_samples; /* columns of out_token_ids and out_logprobs; 0 means 1 */

  /* --- Choices: enums above --- */
  uint32_t dtype;           /* flashsampling_dtype, of hidden_states and weight */
  uint32_t noise_scheme;    /* flashsampling_noise_scheme */
  uint32_t kernel;          /* flashsampling_kernel */
  uint32_t logprobs_mode;   /* flashsampling_logprobs_mode */
  uint32_t token_id_type;   /* flashsampling_token_id_type */
  uint32_t reserved;        /* 0 */

  /* --- Inputs --- */
  const void* hidden_states;    /* [batch_size, hidden_size], 16-byte aligned */
  int64_t hidden_states_stride; /* elements between rows, multiple of 8; 0 means hidden_size */
  const void* weight;           /* [shard_rows, hidden_size], 16-byte aligned */
  int64_t weight_stride;        /* elements between rows, multiple of 8; 0 means hidden_size */

  /* --- Per-row parameters --- */
  const float* temperature;     /* [batch_size], >= 0; 0 is greedy; default 1 */
  const uint64_t* seed;         /* [batch_size]; default 0 */
  const uint64_t* position;     /* [batch_size], step of the request; default 0 */
  const uint32_t* draw_index;   /* [batch_size], first draw; default 0 */
  const uint32_t* num_samples;  /* [batch_size], <= max_num_samples (more is clamped); default max_num_samples.
                                   Columns beyond a row's count hold token id -1 and logprob NaN. */
  const float* logit_bias;      /* [batch_size, >= vocab_start + shard_rows], by global token id; added first */
  int64_t logit_bias_stride;    /* floats between rows; 0: one row serves all */
  const int32_t* allowed_tokens; /* [batch_size, words], bit token_id % 32 of word token_id / 32, 1 = allowed */
  int64_t allowed_tokens_stride; /* words between rows; 0: one row serves all */

  /* --- Not served yet: must be NULL, else FLASHSAMPLING_NOT_SERVED --- */
  const int32_t* top_k;               /* [batch_size], 0 is off */
  const float* top_p;                 /* [batch_size], 1 is off */
  const float* min_p;                 /* [batch_size], 0 is off */
  const float* repetition_penalty;    /* [batch_size], 1 is off */
  const float* presence_penalty;      /* [batch_size], 0 is off */
  const float* frequency_penalty;     /* [batch_size], 0 is off */
  const int32_t* prompt_token_mask;   /* [batch_size, words], bit 1 = occurs in the prompt */
  const int32_t* output_token_counts; /* [batch_size, vocab_size] */

  /* --- Outputs; NULL where not wanted, except out_token_ids or out_candidates --- */
  void* out_token_ids;        /* [batch_size, max_num_samples], int32 or int64 */
  float* out_logprobs;        /* [batch_size, max_num_samples], natural logarithm, of the drawn tokens */
  float* out_log_sum_exp;     /* [batch_size], of this shard's (transformed or raw) logits; -inf if all masked.
                                 Beyond +-2^108, which only logits divided by a temperature below 1 reach, it
                                 compares with those of other shards but is no logarithm. */
  int32_t* out_row_status;    /* [batch_size], flashsampling_row_status */
  uint64_t* out_candidates;   /* [batch_size, max_num_samples], packed winner of this shard for
                                 flashsampling_merge(); 0 where no token may be drawn. An invalid row has
                                 0xFFFFFFFF00000000 + its status in their place, above every winner, so that a
                                 merge keeps the error. */

  /* --- Workspace --- */
  void* workspace;            /* 256-byte aligned, prepared once by flashsampling_workspace_init(); calls that
                                 may overlap in time need one each */
  uint64_t workspace_bytes;
} flashsampling_sample_args;

/*
 * Winners of several shards of one vocabulary become the winners of the whole.
 * Shards are the results of flashsampling_sample() with the same rows and parameters.
 */
typedef struct flashsampling_merge_args {
  uint32_t struct_size;
  uint32_t num_shards;        /* >= 1 */
  uint32_t batch_size;
  uint32_t max_num_samples;   /* 0 means 1 */
  uint32_t noise_scheme;
  uint32_t logprobs_mode;     /* what log_sum_exp was taken of; RAW needs weightless inversion, see logit_bias */
  uint32_t token_id_type;
  uint32_t reserved;          /* 0 */

  const uint64_t* candidates;   /* [num_shards, batch_size, max_num_samples] */
  const float* log_sum_exp;     /* [num_shards, batch_size]; needed for out_logprobs or out_log_sum_exp */
  const int32_t* row_status;    /* [num_shards, batch_size]; needed for out_row_status */

  /* The same arrays that the shards were drawn with: they turn a score back into a logit. */
  const float* temperature;
  const uint64_t* seed;
  const uint64_t* position;
  const uint32_t* draw_index;
  const uint32_t* num_samples;
  const float* logit_bias;
  int64_t logit_bias_stride;

  void* out_token_ids;        /* [batch_size, max_num_samples] */
  float* out_logprobs;        /* [batch_size, max_num_samples] */
  float* out_log_sum_exp;     /* [batch_size] */
  int32_t* out_row_status;    /* [batch_size] */
} flashsampling_merge_args;

/*
 * Draws from logits that another kernel has written: the second half of a two-step sampler.
 * Same transforms, noise and outputs as flashsampling_sample(); here for engines that already have logits.
 */
typedef struct flashsampling_logits_args {
  uint32_t struct_size;
  uint32_t batch_size;
  uint32_t vocab_size;          /* logits of one row */
  uint32_t vocab_start;         /* global token id of the first */
  uint32_t max_num_samples;     /* 0 means 1 */
  uint32_t logits_type;         /* 0 bf16, 1 f16 (flashsampling_dtype), 2 f32 */
  uint32_t noise_scheme;
  uint32_t token_id_type;
  uint32_t logprobs_mode;       /* flashsampling_logprobs_mode */
  uint32_t reserved;            /* 0 */
  const void* logits;           /* [batch_size, vocab_size] */
  int64_t logits_stride;        /* elements between rows; 0 means vocab_size */
  const float* temperature;
  const uint64_t* seed;
  const uint64_t* position;
  const uint32_t* draw_index;
  const uint32_t* num_samples;
  const float* logit_bias;
  int64_t logit_bias_stride;
  const int32_t* allowed_tokens;
  int64_t allowed_tokens_stride;
  void* out_token_ids;
  float* out_logprobs;
  float* out_log_sum_exp;
  int32_t* out_row_status;
  void* workspace;
  uint64_t workspace_bytes;
} flashsampling_logits_args;

/* --- Library --- */

/* FLASHSAMPLING_ABI_VERSION of the library that was loaded. */
FLASHSAMPLING_API uint32_t flashsampling_abi_version(void);

/* Semantic version of the package, for example "0.1.0". Never NULL. */
FLASHSAMPLING_API const char* flashsampling_version(void);

/* Text of the calling thread's last failure, with expression and file:line; "" before the first. Never NULL. */
FLASHSAMPLING_API const char* flashsampling_last_error(void);

/* Name of a status, for example "FLASHSAMPLING_INVALID_ARGUMENT". Never NULL. */
FLASHSAMPLING_API const char* flashsampling_status_name(flashsampling_status status);

/* --- Devices and contexts --- */

/* Number of GPUs; FLASHSAMPLING_UNAVAILABLE without a driver or a device. */
FLASHSAMPLING_API flashsampling_status flashsampling_device_count(int32_t* out_count);

/* Properties of one GPU; out->struct_size must be set. */
FLASHSAMPLING_API flashsampling_status flashsampling_device_properties_get(
    int32_t device_index, flashsampling_device_properties* out);

/* Prepares kernels for one GPU. Free with flashsampling_context_destroy(). */
FLASHSAMPLING_API flashsampling_status flashsampling_context_create(int32_t device_index,
                                                                    flashsampling_context** out_context);

/* Frees a context; NULL is allowed. Work already queued is not affected. */
FLASHSAMPLING_API flashsampling_status flashsampling_context_destroy(flashsampling_context* context);

/* --- Sampling --- */

/* Bytes of workspace that a call with this batch and so many draws needs; below 1 MiB. */
FLASHSAMPLING_API flashsampling_status flashsampling_workspace_bytes(flashsampling_context* context,
                                                                     uint32_t batch_size,
                                                                     uint32_t max_num_samples,
                                                                     uint64_t* out_bytes);

/* Prepares fresh memory as workspace, on the stream. Every finished call leaves it prepared for the next. */
FLASHSAMPLING_API flashsampling_status flashsampling_workspace_init(flashsampling_context* context,
                                                                    void* workspace,
                                                                    uint64_t workspace_bytes,
                                                                    flashsampling_stream stream);

/* Draws tokens inside the LM-head matmul. */
FLASHSAMPLING_API flashsampling_status flashsampling_sample(flashsampling_context* context,
                                                            const flashsampling_sample_args* args,
                                                            flashsampling_stream stream);

/* Merges the winners of several shards. */
FLASHSAMPLING_API flashsampling_status flashsampling_merge(flashsampling_context* context,
                                                           const flashsampling_merge_args* args,
                                                           flashsampling_stream stream);

/* Draws tokens from logits in device memory. */
FLASHSAMPLING_API flashsampling_status flashsampling_sample_from_logits(
    flashsampling_context* context, const flashsampling_logits_args* args, flashsampling_stream stream);

/* --- Memory and streams, for hosts that have no CUDA binding of their own --- */

FLASHSAMPLING_API flashsampling_status flashsampling_stream_create(flashsampling_context* context,
                                                                   flashsampling_stream* out_stream);
FLASHSAMPLING_API flashsampling_status flashsampling_stream_destroy(flashsampling_context* context,
                                                                    flashsampling_stream stream);
FLASHSAMPLING_API flashsampling_status flashsampling_stream_synchronize(flashsampling_context* context,
                                                                        flashsampling_stream stream);

/* Device memory; 256-byte aligned. */
FLASHSAMPLING_API flashsampling_status flashsampling_memory_alloc(flashsampling_context* context,
                                                                  uint64_t bytes, void** out_pointer);
/* Page-locked host memory. */
FLASHSAMPLING_API flashsampling_status flashsampling_host_alloc(flashsampling_context* context,
                                                                uint64_t bytes, void** out_pointer);
/* Frees; NULL is allowed. */
FLASHSAMPLING_API flashsampling_status flashsampling_memory_free(flashsampling_context* context,
                                                                 void* pointer);
FLASHSAMPLING_API flashsampling_status flashsampling_host_free(flashsampling_context* context,
                                                               void* pointer);
/* Asynchronous copies on the stream; host memory should be page-locked. */
FLASHSAMPLING_API flashsampling_status flashsampling_copy_to_device(flashsampling_context* context,
                                                                    void* device, const void* host,
                                                                    uint64_t bytes,
                                                                    flashsampling_stream stream);
FLASHSAMPLING_API flashsampling_status flashsampling_copy_to_host(flashsampling_context* context,
                                                                  void* host, const void* device,
                                                                  uint64_t bytes,
                                                                  flashsampling_stream stream);

#ifdef __cplusplus
}
#endif

#endif /* FLASHSAMPLING_H_ */
