/**
 * What quantised heads need: loaded when one is, as pages with dense heads do without.
 *
 * @module
 */
import type { WeightFormat } from '../weight-format.ts'
import { quantisedRows } from './quantised-rows.ts'
import { INT4, INT8 } from './shaders.generated.ts'

/** Quants of 8 bits. */
export const int8Format: WeightFormat = { chunkSources: INT8, convertRows: quantisedRows }

/** Quants of 4 bits. */
export const int4Format: WeightFormat = { chunkSources: INT4, convertRows: quantisedRows }
