/**
 * What travels between the command and the program that has the device: in a process of its own, or in a page.
 *
 * @module
 */
import type { Shape } from '../cases/shapes.ts'
import type { BenchRecord } from '../harness/record.ts'
import type { WebGpuContenderName, WebGpuDType } from './contender.ts'
import type { RoundTimes } from './rounds.ts'

/** One head to time. */
export interface HeadJob {
  shape: Shape
  dtype: WebGpuDType
  batchSizes: readonly number[]
  contenders: readonly WebGpuContenderName[]
  times: RoundTimes
}

/** The adapter, in words. */
export interface AdapterFacts {
  /** Name of the adapter. */
  name: string
  vendor: string
  architecture: string
  /** What WebGPU tells of it; Dawn names the driver. */
  description: string
  /** Features that matter here, of those that the device has. */
  features: string[]
  subgroupSizes: [number, number]
  maxStorageBufferBindingSize: number
  isSoftware: boolean
}

/** One contender on one head and batch size. */
export interface WebGpuRecord extends BenchRecord {
  /** Sum of the durations of the compute passes of a call, microseconds; absent without timestamps. */
  gpuMedianUs?: number | undefined
  gpuP10Us?: number | undefined
  gpuP90Us?: number | undefined
  /** Bytes that a call maps for reading. */
  readbackBytes: number
  /** Dispatches of a call. */
  dispatches: number
  /** How the memory was read; plain reads only. */
  method?: string | undefined
}

/** Rate of a way to read. */
export interface WebGpuReadRate {
  case: string
  dtype: string
  method: string
  threads: 1
  gigabytesPerSecond: number
  samples: number
}

/** What a program tells. */
export type Message =
  | { kind: 'adapter'; adapter: AdapterFacts; versions: Record<string, string> }
  /** What was loaded later. */
  | { kind: 'versions'; versions: Record<string, string> }
  /** Also a sign of life: each round gives one. */
  | { kind: 'step'; text: string }
  | { kind: 'readRate'; rate: WebGpuReadRate }
  | { kind: 'record'; record: WebGpuRecord }
  | { kind: 'leftOut'; contender: string; where: string; reason: string }
  | { kind: 'done' }
