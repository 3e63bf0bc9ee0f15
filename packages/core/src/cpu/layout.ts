/**
 * Memory layout that the TypeScript and the WebAssembly kernels share. Offsets and sizes are bytes unless named
 * otherwise. This file is also compiled by AssemblyScript: plain integer constants only.
 *
 * One linear memory holds, in this order: control words, LM-head weights, workspace. A job and everything it points to
 * live in the workspace and are written by the main thread; each thread writes row states and scratch of its own.
 */

// --- Control words (i32, at fixed addresses) ---
export const CONTROL_SEQUENCE = 64
export const CONTROL_JOB = 68
export const CONTROL_NEXT_TILE = 128
export const CONTROL_DONE = 192
export const CONTROL_SHUTDOWN = 196
export const CONTROL_FAILED = 200
/** Where weights start. */
export const WEIGHTS_OFFSET = 65536

/** Elements that are summed on their own before they join a dot product. */
export const CHUNK_ELEMENTS = 256

// --- Job ---
export const JOB_BATCH_SIZE = 0
/** Elements of a hidden-state row, padded with zeros to a multiple of 4. */
export const JOB_HIDDEN_SIZE = 4
/** f32 [batchSize, hiddenSize], packed for the kernels: see packHiddenStates in job.ts. */
export const JOB_HIDDEN_STATES = 8
export const JOB_ROWS = 12
export const JOB_NUM_SHARDS = 16
export const JOB_SHARDS = 20
export const JOB_NUM_TILES = 24
/** Vocabulary rows of a tile. */
export const JOB_TILE_VOCAB = 28
export const JOB_STATES = 32
/** Bytes between the row states of two threads. */
export const JOB_STATES_STRIDE = 36
export const JOB_SCRATCH = 40
/** Bytes between the scratch of two threads. */
export const JOB_SCRATCH_STRIDE = 44
/** 0 flash, 1 vllm. */
export const JOB_NOISE_SCHEME = 48
/** Weight rows that are widened or copied to scratch at a time, a multiple of 4. */
export const JOB_STAGE_ROWS = 52
export const JOB_BYTES = 64

// --- Shard record ---
export const SHARD_DTYPE = 0
export const SHARD_WEIGHT = 4
/** Bytes between two weight rows. */
export const SHARD_ROW_STRIDE = 8
export const SHARD_NUM_ROWS = 12
export const SHARD_VOCAB_START = 16
export const SHARD_FIRST_TILE = 20
export const SHARD_BYTES = 32

export const DTYPE_F32 = 0
export const DTYPE_F16 = 1
export const DTYPE_BF16 = 2
export const DTYPE_Q8_0 = 3
export const DTYPE_Q4_0 = 4
export const DTYPE_Q4_1 = 5
export const DTYPE_Q6_K = 6
/** Rows as nbits-rows.ts packs them; the code carries the weights of a block from DTYPE_BLOCK_SHIFT on. */
export const DTYPE_NBITS4 = 7
export const DTYPE_NBITS8 = 8
export const DTYPE_BLOCK_SHIFT = 8
/** Scale (f32) and zero point (i32) before the quants of a block. */
export const NBITS_HEADER_BYTES = 8

// --- Row record: what to do with one row of the batch ---
/** f32, > 0; 1 for greedy rows. */
export const ROW_TEMPERATURE = 0
export const ROW_FLAGS = 4
export const ROW_NUM_DRAWS = 8
/** u32 [numDraws, 2]: key words of each draw. */
export const ROW_DRAW_KEYS = 12
/** i32 bitmask words over global token ids, or 0. */
export const ROW_MASK = 16
export const ROW_EDITS = 20
export const ROW_NUM_EDITS = 24
/** f32. */
export const ROW_REPETITION_PENALTY = 28
/** Offset of the row's state from the start of a thread's states. */
export const ROW_STATE_OFFSET = 32
/** Entries: f32 logit, u32 tokenId; in rank order (logit descending, tokenId ascending). */
export const ROW_PIVOTS = 36
export const ROW_NUM_PIVOTS = 40
/** f32: with ROW_BOUNDARY_TOKEN_ID, the last token in rank order that may be drawn. */
export const ROW_BOUNDARY_LOGIT = 44
export const ROW_BOUNDARY_TOKEN_ID = 48
export const ROW_BYTES = 64

/** Score is the logit: no noise. */
export const FLAG_GREEDY = 1
/** Also keep mass and top list of the raw logits. */
export const FLAG_RAW = 2
/** Tokens that rank after the boundary cannot be drawn. */
export const FLAG_RESTRICT = 4
/** Count tokens and mass between pivots instead of drawing. */
export const FLAG_RANK = 8

// --- Edit record ---
export const EDIT_TOKEN_ID = 0
/** f32. */
export const EDIT_BIAS = 4
/** u32: 1 when the repetition penalty applies. */
export const EDIT_REPEATED = 8
/** f32. */
export const EDIT_PENALTY = 12
export const EDIT_BYTES = 16

// --- Row state: what one thread found for one row ---
/** u32: STATUS_* bits. */
export const STATE_STATUS = 0
/** f32: highest transformed logit. */
export const STATE_MAX = 4
export const STATE_MASS = 8
export const STATE_RAW_MASS = 48
/** Lists follow: top, raw top (FLAG_RAW only), one of scores per draw. */
export const STATE_LISTS = 96

export const STATUS_NAN = 1
export const STATUS_POSITIVE_INFINITY = 2

// --- Mass: exact sum of p * 2^n in bins of sixteen exponents, see exact-mass.ts ---
/** i32: highest bin index seen. */
export const MASS_TOP = 0
/** i64 [MASS_NUM_BINS] in units of 2^-24, a ring indexed by bin modulo MASS_NUM_BINS. */
export const MASS_BINS = 8
export const MASS_NUM_BINS = 4
export const MASS_EMPTY_TOP = -1073741824

// --- List: the best `capacity` entries, a heap with the worst at the root ---
export const LIST_COUNT = 0
export const LIST_CAPACITY = 4
export const LIST_ENTRIES = 16
/** f32: score or logit. */
export const ENTRY_KEY = 0
export const ENTRY_TOKEN_ID = 4
/** f32: transformed logit. */
export const ENTRY_LOGIT = 8
/** f32: raw logit (FLAG_RAW only, else the transformed one). */
export const ENTRY_RAW_LOGIT = 12
export const ENTRY_BYTES = 16

// --- Rank state (FLAG_RANK): numPivots + 1 intervals in place of the lists ---
/** f64: tokens in the interval. */
export const INTERVAL_COUNT = 0
export const INTERVAL_MASS = 8
export const INTERVAL_BYTES = 48
