/**
 * Which contenders are timed on which shapes: the full plan, the quick one, and selections from the command line.
 *
 * @module
 */
import { BATCH_SIZES, type BenchDType, SHAPES, type Shape, type Variant } from '../cases/shapes.ts'
import type { ContenderFamily, ContenderName } from '../contenders/contender.ts'

/** A contender with a number of threads. */
export interface PlannedContender {
  /** Who. */
  name: ContenderName
  /** Threads to use. */
  threads: number
}

/** Contenders that are timed against each other. */
export interface PlannedGroup {
  /** Rows. */
  batchSize: number
  /** What is asked of the draw. */
  variant: Variant
  /** Who is timed, never empty. */
  contenders: readonly PlannedContender[]
}

/** Groups that share a head, so that it is loaded once. */
export interface PlannedHead {
  /** Vocabulary and width. */
  shape: Shape
  /** Storage format. */
  dtype: BenchDType
  /** Its groups. */
  groups: readonly PlannedGroup[]
}

/** Selection from the command line; what is absent takes its default. */
export interface Selection {
  /** Names of shapes. */
  cases?: readonly string[] | undefined
  /** Storage formats. */
  dtypes?: readonly BenchDType[] | undefined
  /** Batch sizes. */
  batchSizes?: readonly number[] | undefined
  /** Variants. */
  variants?: readonly Variant[] | undefined
  /** Names of contenders. */
  contenders?: readonly ContenderName[] | undefined
}

/** Options of {@link makePlan}. */
export interface PlanOptions {
  /** What was selected; nothing selected gives the full or the quick plan. */
  selection: Selection
  /** Whether the quick plan is wanted. */
  quick: boolean
  /** Numbers of threads. */
  threads: readonly number[]
  /** Where contenders come from. */
  families: readonly ContenderFamily[]
}

/** One part of a plan: every combination of its lists. */
interface Block {
  cases: readonly string[]
  dtypes: readonly BenchDType[]
  batchSizes: readonly number[]
  variants: readonly Variant[]
  contenders: readonly ContenderName[]
  /** Only the largest number of threads. */
  maxThreadsOnly?: boolean
}

const CORE_CASES = ['smollm2', 'qwen3']
const CORE_CONTENDERS: readonly ContenderName[] = [
  'flashsampling',
  'flashsampling-typescript',
  'flashsampling-two-step',
  'onnxruntime-node',
]
const ALL_CONTENDERS: readonly ContenderName[] = [
  ...CORE_CONTENDERS,
  'onnxruntime-node-gumbel',
  'onnxruntime-node-softmax',
  'onnxruntime-node-matmul',
]
const UNTYPED_CONTENDERS = CORE_CONTENDERS.filter((name) => name !== 'flashsampling-typescript')

const FULL_PLAN: readonly Block[] = [
  // The lines that the project states, with every contender.
  {
    cases: CORE_CASES,
    dtypes: ['q8_0', 'f32'],
    batchSizes: [1, 8],
    variants: ['plain'],
    contenders: ALL_CONTENDERS,
  },
  // Time against batch size.
  {
    cases: CORE_CASES,
    dtypes: ['q8_0', 'f32'],
    batchSizes: BATCH_SIZES,
    variants: ['plain'],
    contenders: UNTYPED_CONTENDERS,
  },
  // Time against vocabulary size; the sweep ends with the shape of qwen3 above.
  {
    cases: SHAPES.map(({ name }) => name).filter((name) => name.startsWith('vocab-')),
    dtypes: ['q8_0', 'f32'],
    batchSizes: [1],
    variants: ['plain'],
    contenders: UNTYPED_CONTENDERS,
    maxThreadsOnly: true,
  },
  // Other storage formats.
  {
    cases: CORE_CASES,
    dtypes: ['bf16', 'f16'],
    batchSizes: [1, 8],
    variants: ['plain'],
    contenders: ['flashsampling', 'flashsampling-typescript', 'flashsampling-two-step'],
  },
  // What filters, masks and log-probabilities cost.
  {
    cases: CORE_CASES,
    dtypes: ['q8_0'],
    batchSizes: [1, 8],
    variants: ['topk-topp', 'masked', 'logprobs'],
    contenders: UNTYPED_CONTENDERS,
    maxThreadsOnly: true,
  },
]

const QUICK_PLAN: readonly Block[] = [
  {
    cases: ['smollm2'],
    dtypes: ['q8_0', 'f32'],
    batchSizes: [1, 8],
    variants: ['plain'],
    contenders: CORE_CONTENDERS,
  },
]

/**
 * Lists what a run times.
 *
 * @param options - Selection, threads and families.
 * @returns Heads in the order of the plan, each with its groups; combinations that no family supports are left out.
 */
export function makePlan(options: PlanOptions): PlannedHead[] {
  const heads = new Map<string, PlannedHead>()
  for (const block of blocksOf(options)) {
    for (const name of block.cases) {
      const shape = SHAPES.find((candidate) => candidate.name === name)
      if (shape === undefined) continue
      for (const dtype of block.dtypes) {
        const key = `${name}/${dtype}`
        const head = heads.get(key) ?? { shape, dtype, groups: [] }
        heads.set(key, {
          ...head,
          groups: mergeGroups(head.groups, groupsOf(block, dtype, options)),
        })
      }
    }
  }
  return [...heads.values()].filter(({ groups }) => groups.length > 0)
}

function blocksOf({ selection, quick }: PlanOptions): readonly Block[] {
  if (Object.values(selection).every((list) => list === undefined)) {
    return quick ? QUICK_PLAN : FULL_PLAN
  }
  return [
    {
      cases: selection.cases ?? CORE_CASES,
      dtypes: selection.dtypes ?? ['q8_0', 'f32'],
      batchSizes: selection.batchSizes ?? [1, 8],
      variants: selection.variants ?? ['plain'],
      contenders: selection.contenders ?? CORE_CONTENDERS,
    },
  ]
}

function groupsOf(block: Block, dtype: BenchDType, options: PlanOptions): PlannedGroup[] {
  const counts = block.maxThreadsOnly ? [Math.max(...options.threads)] : options.threads
  const groups: PlannedGroup[] = []
  for (const batchSize of block.batchSizes) {
    for (const variant of block.variants) {
      const contenders: PlannedContender[] = []
      for (const name of block.contenders) {
        const family = options.families.find(({ names }) => names.includes(name))
        for (const threads of counts) {
          const request = { name, threads, dtype, batchSize, variant }
          if (family?.supports(request)) contenders.push({ name, threads })
        }
      }
      if (contenders.length > 0) groups.push({ batchSize, variant, contenders })
    }
  }
  return groups
}

/** Joins groups of the same batch size and variant; orders by variant, then batch size. */
function mergeGroups(
  known: readonly PlannedGroup[],
  added: readonly PlannedGroup[],
): readonly PlannedGroup[] {
  const merged = [...known]
  for (const group of added) {
    const at = merged.findIndex(
      ({ batchSize, variant }) => batchSize === group.batchSize && variant === group.variant,
    )
    if (at < 0) {
      merged.push(group)
      continue
    }
    const present = merged[at] as PlannedGroup
    const missing = group.contenders.filter(
      ({ name, threads }) =>
        !present.contenders.some((entry) => entry.name === name && entry.threads === threads),
    )
    merged[at] = { ...present, contenders: [...present.contenders, ...missing] }
  }
  const order: readonly Variant[] = ['plain', 'topk-topp', 'masked', 'logprobs']
  return merged.sort(
    (a, b) => order.indexOf(a.variant) - order.indexOf(b.variant) || a.batchSize - b.batchSize,
  )
}
