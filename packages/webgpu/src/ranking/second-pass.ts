/**
 * Exact further passes for the rows that the lists of the first one did not decide: drives core's row logic.
 *
 * @module
 */
import {
  type ListEntry,
  type PassAnswer,
  type PassRequest,
  processRow,
  type RankRequest,
  type RowOutcome,
  type RowProcess,
  type SampleAnswer,
  type SampleRequest,
} from '@flashsampling/core'
import type { Task } from '../call-layout.ts'
import { LIST_ENTRIES } from '../kernels.ts'
import type { PassRunner, RowSource } from '../pass-runner.ts'
import type { Share } from '../plan.ts'
import { runSamplePass } from '../sample-pass.ts'
import { runGatherPass, runRankPass } from './rank-passes.ts'
import { type BestScores, type GpuListEntry, readBest, readLists } from './ranked-lists.ts'

/** What further passes found. */
export interface SecondPassResult {
  /** One per share. */
  outcomes: RowOutcome[]
  /** Passes over the head beside the first. */
  passes: number
}

interface OpenShare {
  share: Share
  process: RowProcess<RowOutcome | null>
  request: PassRequest
  outcome: RowOutcome | null
}

/** Behind every token. */
const LAST = { logit: -3.4028234663852886e38, tokenId: 0xffff_ffff }

/** Most rows of one further pass: bounds the memory of what it finds. */
const MAX_ROWS = 16

/**
 * Decides shares by as many passes as they need. Reads what the first pass left on the GPU, so no other pass may come
 * between.
 *
 * @param runner - The head of the first pass.
 * @param rows - Hidden states or logits of the batch.
 * @param tasks - Tasks of the first pass.
 * @param shares - What it left open.
 * @returns Their outcomes.
 */
export async function decideOpenShares(
  runner: PassRunner,
  rows: RowSource,
  tasks: readonly Task[],
  shares: readonly Share[],
): Promise<SecondPassResult> {
  const open = shares.map((share): OpenShare => {
    const process = processRow(share.params, runner.noiseScheme)
    // A process always asks for one pass at least.
    const request = process.next().value as PassRequest
    return { share, process, request, outcome: null }
  })
  const answers = await answerFromFirstPass(runner, rows, tasks, open)
  let passes = answers.passes
  let waiting = advance(open, answers.answers)
  while (waiting.length > 0) {
    const group = waiting.filter(({ request }) => request.kind === waiting[0]?.request.kind)
    const now = group.slice(0, MAX_ROWS)
    passes++
    const found =
      now[0]?.request.kind === 'rank'
        ? await answerRank(runner, rows, now)
        : await answerRestricted(runner, rows, now)
    const later = waiting.filter((entry) => !now.includes(entry))
    waiting = [...advance(now, found), ...later]
  }
  return { outcomes: open.map(({ outcome }) => outcome as RowOutcome), passes }
}

/** Hands answers to the processes; gives those that ask again. */
function advance(entries: readonly OpenShare[], answers: readonly PassAnswer[]): OpenShare[] {
  return entries.filter((entry, i) => {
    const step = entry.process.next(answers[i] as PassAnswer)
    if (step.done === true) {
      entry.outcome = step.value
      return false
    }
    entry.request = step.value
    return true
  })
}

async function answerFromFirstPass(
  runner: PassRunner,
  rows: RowSource,
  tasks: readonly Task[],
  open: readonly OpenShare[],
): Promise<{ answers: SampleAnswer[]; passes: number }> {
  const listOf = new Map<number, number>()
  const slotOf: number[] = []
  let slot = 0
  tasks.forEach((task, index) => {
    slotOf.push(slot)
    slot += task.numDraws
    if (task.isListed) listOf.set(index, listOf.size)
  })
  const best = await readBest(runner, slot)
  const { masses, lists } = await readLists(runner, tasks.length, listOf.size)
  const ranking = new Ranking(runner, rows, tasks, (task) => lists[listOf.get(task) as number])
  const answers: SampleAnswer[] = []
  for (const { share, request } of open) {
    const { topCapacity, rawTopCapacity, scoreCapacity } = request as SampleRequest
    const mass = masses[share.task] as { max: number; logMass: number }
    answers.push({
      kind: 'sample',
      max: mass.max,
      logMass: mass.logMass,
      rawLogMass: masses[share.rawTask]?.logMass ?? -Infinity,
      top: await ranking.best(share.task, topCapacity),
      rawTop: await ranking.best(share.rawTask, rawTopCapacity),
      scores:
        scoreCapacity === 0
          ? []
          : Array.from({ length: share.params.numSamples }, (_, draw) => [
              bestOf(best, (slotOf[share.task] as number) + draw),
            ]),
    })
  }
  return { answers, passes: ranking.passes }
}

/** The best tokens of a task by logit, from the tiles' lists where these tell, else from a pass that gathers them. */
class Ranking {
  passes = 0
  readonly #runner: PassRunner
  readonly #rows: RowSource
  readonly #tasks: readonly Task[]
  readonly #tilesOf: (task: number) => GpuListEntry[][] | undefined

  constructor(
    runner: PassRunner,
    rows: RowSource,
    tasks: readonly Task[],
    tilesOf: (task: number) => GpuListEntry[][] | undefined,
  ) {
    this.#runner = runner
    this.#rows = rows
    this.#tasks = tasks
    this.#tilesOf = tilesOf
  }

  async best(task: number, capacity: number): Promise<ListEntry[]> {
    if (capacity === 0) return []
    const tiles = this.#tilesOf(task) ?? []
    const listed = tiles.flat().sort(byRank)
    // What ranks behind the first token that ends a full list may be missing from the lists.
    const cut = tiles
      .filter((entries) => entries.length === LIST_ENTRIES)
      .map((entries) => entries[LIST_ENTRIES - 1] as GpuListEntry)
      .sort(byRank)[0]
    const numCertain = cut === undefined ? listed.length : listed.indexOf(cut) + 1
    if (cut === undefined || numCertain >= capacity)
      return listed.slice(0, capacity).map(toListEntry)
    this.passes++
    // At least `capacity` tokens do not rank behind this one; at most capacity / LIST_ENTRIES tiles hide others, so
    // that there are no more than tile / LIST_ENTRIES times as many.
    const boundary = listed[capacity - 1] ?? LAST
    const wanted = {
      ...(this.#tasks[task] as Task),
      boundary,
      numDraws: 0,
      isListed: false,
      massTask: 0,
    }
    const { tile } = this.#runner.head.tuning
    const room = Math.ceil(tile / LIST_ENTRIES) * Math.max(256, capacity)
    const [found] = await runGatherPass(this.#runner, [wanted], this.#rows, room)
    return (found as GpuListEntry[]).sort(byRank).slice(0, capacity).map(toListEntry)
  }
}

async function answerRank(
  runner: PassRunner,
  rows: RowSource,
  open: readonly OpenShare[],
): Promise<PassAnswer[]> {
  const tasks = open.map(({ share, request }): Task => {
    const { pivots, max } = request as RankRequest
    return { ...plainTask(share), pivots, boundary: { logit: max, tokenId: 0 } }
  })
  const sums = await runRankPass(runner, tasks, rows)
  return sums.map((rowSums) => ({ kind: 'rank', sums: rowSums }))
}

/** Draws once more among the tokens up to a boundary. */
async function answerRestricted(
  runner: PassRunner,
  rows: RowSource,
  open: readonly OpenShare[],
): Promise<PassAnswer[]> {
  const tasks = open.map(({ share, request }, index): Task => {
    const { boundary } = request as SampleRequest
    return { ...plainTask(share), boundary, numDraws: share.params.numSamples, massTask: index }
  })
  await runSamplePass(runner, tasks, rows, { planes: 0, destination: null, prepareLists: null })
  const numSlots = tasks.reduce((sum, { numDraws }) => sum + numDraws, 0)
  const best = await readBest(runner, numSlots)
  let slot = 0
  return open.map(({ share }): PassAnswer => {
    const scores = Array.from({ length: share.params.numSamples }, () => [bestOf(best, slot++)])
    const none = { top: [], rawTop: [], max: 0, logMass: 0, rawLogMass: 0 }
    return { kind: 'sample', ...none, scores }
  })
}

function plainTask({ row, params }: Share): Task {
  return {
    ...{ row, params, isRaw: false, numDraws: 0, massTask: 0, isFiltered: false },
    ...{ isListed: false, numReported: 0, boundary: null, pivots: [] },
  }
}

function bestOf(best: BestScores, slot: number): ListEntry {
  return {
    key: best.scores[slot] as number,
    tokenId: best.tokenIds[slot] as number,
    logit: best.logits[slot] as number,
    rawLogit: best.rawLogits[slot] as number,
  }
}

function toListEntry({ logit, tokenId, rawLogit }: GpuListEntry): ListEntry {
  return { key: logit, tokenId, logit, rawLogit }
}

function byRank(a: GpuListEntry, b: GpuListEntry): number {
  return b.logit - a.logit || a.tokenId - b.tokenId
}
