/**
 * The live plot: time of each step, stacked by part.
 *
 * @module
 */
import * as Plot from '@observablehq/plot'
import { elementOf } from './elements.ts'
import type { GeneratedStep } from './engine-types.ts'

const COLORS: [string, string][] = [
  ['body', 'var(--body)'],
  ['head', 'var(--head)'],
  ['page', 'var(--other)'],
]

/**
 * Draws the steps so far into the page.
 *
 * @param steps - Steps so far; none hides the plot.
 * @param maxTokens - Most steps there can be.
 */
export function drawPlot(steps: readonly GeneratedStep[], maxTokens: number): void {
  const container = elementOf('plot', HTMLDivElement)
  elementOf('plot-figure', HTMLElement).hidden = steps.length === 0
  const width = container.clientWidth
  if (steps.length === 0 || width === 0) return
  const parts = steps.flatMap(({ step, bodyMs, headMs, totalMs }) => {
    const times = { body: bodyMs, head: headMs, page: Math.max(0, totalMs - bodyMs - headMs) }
    return COLORS.map(([part]) => ({ step, part, ms: times[part as keyof typeof times] }))
  })
  const { length } = steps
  // Grows in jumps, so that the bars do not move with every token.
  const shown = Math.min(maxTokens, Math.max(16, 2 ** Math.ceil(Math.log2(length))))
  const svg = Plot.plot({
    width,
    height: Math.round(Math.min(260, 120 + width / 4)),
    marginLeft: 44,
    marginRight: 12,
    marginBottom: 36,
    ariaLabel: 'Time of each step in milliseconds, stacked: body, LM head and draw, page',
    x: { label: 'step →', domain: [0, Math.max(shown, length)], ticks: Math.min(8, width / 60) },
    y: { label: '↑ ms', grid: true, zero: true, ticks: 5 },
    color: { domain: COLORS.map(([part]) => part), range: COLORS.map(([, color]) => color) },
    marks: [
      Plot.rectY(parts, {
        x1: (part: { step: number }) => part.step,
        x2: (part: { step: number }) => part.step + 1,
        y: 'ms',
        fill: 'part',
        insetLeft: width / shown > 4 ? 0.5 : 0,
        insetRight: width / shown > 4 ? 0.5 : 0,
        title: ({ step, part, ms }: (typeof parts)[number]) =>
          `step ${step}, ${part}: ${ms.toFixed(1)} ms`,
      }),
      Plot.ruleY([0], { ariaHidden: 'true', ariaLabel: null as unknown as string }),
    ],
  })
  svg.setAttribute('role', 'img')
  container.replaceChildren(svg)
  elementOf('plot-caption', HTMLElement).textContent =
    `${length} ${length === 1 ? 'step' : 'steps'}. ` +
    'Step 0 draws from what the prompt left behind and has no body of its own.'
}
