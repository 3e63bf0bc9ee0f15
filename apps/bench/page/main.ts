/**
 * The page: form, text, plot and messages. Everything that takes time happens in the worker.
 *
 * @module
 */
import { MODEL_INFO_PATH, MODEL_PATH, type ServedModel } from '../src/server/page-routes.ts'
import { messageOf } from '../src/ui/user-error.ts'
import { elementOf } from './elements.ts'
import { EngineClient, WorkerLostError } from './engine-client.ts'
import type {
  BackendKind,
  Environment,
  GeneratedStep,
  GenerationSummary,
  ModelInfo,
  Verification,
  WorkProgress,
} from './engine-types.ts'
import { ModelPicker } from './model-picker.ts'
import { Settings } from './settings.ts'
import { StatusBar } from './status-bar.ts'
import { drawPlot } from './step-plot.ts'
import { StepTable, showFigures } from './step-table.ts'

/** What is running. */
type Work = 'load' | 'generate' | 'verify'

const engine = new EngineClient()
const settings = new Settings()
const status = new StatusBar()
const table = new StepTable()
const picker = new ModelPicker({ onFile: loadFile, onServed: loadServed })

const form = elementOf('form', HTMLFormElement)
const generateButton = elementOf('generate', HTMLButtonElement)
const stopButton = elementOf('stop', HTMLButtonElement)
const verifyButton = elementOf('verify', HTMLButtonElement)
const text = elementOf('text', HTMLDivElement)
const verdict = elementOf('verdict', HTMLParagraphElement)

let model: ModelInfo | null = null
let work: Work | null = null
let steps: GeneratedStep[] = []
/** What the figures are about. */
let run: { backend: BackendKind; maxTokens: number } = { backend: 'cpu', maxTokens: 1 }
let frame = 0

form.addEventListener('submit', (event) => {
  event.preventDefault()
  void perform('generate', generate)
})
form.addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && event.ctrlKey) form.requestSubmit()
})
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && !stopButton.disabled) engine.stop()
})
stopButton.addEventListener('click', () => engine.stop())
verifyButton.addEventListener('click', () => void perform('verify', verify))
elementOf('error-close', HTMLButtonElement).addEventListener('click', () => {
  status.showError('')
  form.querySelector<HTMLElement>('#prompt')?.focus()
})
new ResizeObserver(scheduleDrawing).observe(elementOf('plot', HTMLDivElement))
void start()

async function start(): Promise<void> {
  picker.offerServed(await findServedModel())
  showState()
  try {
    const environment = await engine.describe()
    settings.offerBackends(environment)
    elementOf('environment', HTMLParagraphElement).textContent = describeEnvironment(environment)
  } catch (error) {
    elementOf('environment', HTMLParagraphElement).textContent = ''
    status.showError(messageOf(error))
  }
}

function describeEnvironment({ webgpu, webgpuReason, hasThreads }: Environment): string {
  const gpu =
    webgpu === null
      ? `WebGPU is missing (${webgpuReason}): the page goes on with the CPU.`
      : `WebGPU: ${webgpu.name}${webgpu.isSoftware ? ', in software: the CPU backend is faster' : ''}.`
  return hasThreads ? gpu : `${gpu} The page is not cross-origin isolated: the CPU has one thread.`
}

/** Asks the server for its model; other servers of the page have none. */
async function findServedModel(): Promise<ServedModel | null> {
  try {
    const response = await fetch(`.${MODEL_INFO_PATH}`)
    return response.ok ? ((await response.json()) as ServedModel | null) : null
  } catch {
    return null
  }
}

/** Runs one piece of work at a time, shows what went wrong, and leaves the page usable. */
async function perform(kind: Work, action: () => Promise<string>): Promise<void> {
  if (work !== null) return
  work = kind
  status.showError('')
  settings.markField('')
  showState()
  try {
    status.say(await action())
  } catch (error) {
    if (error instanceof WorkerLostError) {
      model = null
      picker.showModel('')
    }
    status.say('')
    status.showError(messageOf(error))
    settings.markField(messageOf(error))
  } finally {
    work = null
    status.showProgress(null)
    showState()
  }
}

function loadFile(file: File): void {
  void perform('load', () => load(file, file.name))
}

function loadServed(served: ServedModel): void {
  const address = new URL(`.${MODEL_PATH}`, location.href).href
  void perform('load', () => load(address, served.name))
}

async function load(source: Blob | string, name: string): Promise<string> {
  status.say(`Loading ${name}…`)
  model = await engine.load(source, name, showProgress)
  const { numBlocks, vocabSize, hiddenSize, headDtype, contextLength } = model
  const count = (value: number): string => value.toLocaleString('en')
  picker.showModel(
    `${name}: ${numBlocks} blocks, hidden size ${count(hiddenSize)}, vocabulary of ${count(vocabSize)} tokens, ` +
      `LM head in ${headDtype}, at most ${count(contextLength)} tokens.`,
  )
  clearSteps()
  return `${name} is loaded. Press Generate.`
}

async function generate(): Promise<string> {
  const request = settings.read()
  let description = ''
  const summary = await engine
    .generate(request, {
      onHead: (head) => {
        description = head.description
        clearSteps()
        run = { backend: head.backend, maxTokens: request.maxTokens }
        elementOf('notice', HTMLParagraphElement).textContent = head.notice
        text.setAttribute('aria-busy', 'true')
        status.say(`Writing; the LM head is on: ${description}.`)
      },
      onProgress: showProgress,
      onStep: (step) => {
        status.showProgress(null)
        steps.push(step)
        text.append(step.newText)
        table.add(step)
        scheduleDrawing()
      },
    })
    .finally(() => text.removeAttribute('aria-busy'))
  text.append(summary.lastText)
  return describeEnd(summary, description)
}

function describeEnd(summary: GenerationSummary, description: string): string {
  const { promptTokens, promptMs, drawnTokens, reason } = summary
  const how = {
    'end token': 'The model ended the text',
    maxTokens: 'The text was cut at the most tokens',
    stopped: 'Stopped',
  }[reason]
  return (
    `${how}: ${drawnTokens} tokens, LM head on ${description}. ` +
    `The prompt of ${promptTokens} tokens took ${(promptMs / 1000).toFixed(1)} s.`
  )
}

async function verify(): Promise<string> {
  status.say('Recomputing the draws in float64…')
  const result = await engine.verify(showProgress)
  table.addVerdicts(result.verdicts)
  verdict.textContent = describeVerification(result)
  verdict.classList.toggle('good', result.differences === 0)
  verdict.classList.toggle('bad', result.differences > 0)
  return ''
}

function describeVerification(result: Verification): string {
  const { verdicts, differences, withinMargin, margin, maxLogprobError } = result
  return (
    `${verdicts.length} tokens checked, ${differences} differences, ${withinMargin} within the margin of ` +
    `${margin.toExponential(1)} nats; largest distance of a log-probability ${maxLogprobError.toExponential(1)}.`
  )
}

function clearSteps(): void {
  steps = []
  text.textContent = ''
  verdict.textContent = ''
  table.clear()
  scheduleDrawing()
  elementOf('notice', HTMLParagraphElement).textContent = ''
}

/** Draws once a frame, however many steps arrive. */
function scheduleDrawing(): void {
  if (frame !== 0) return
  frame = requestAnimationFrame(() => {
    frame = 0
    drawPlot(steps, run.maxTokens)
    showFigures(steps, run.backend, model?.vocabSize ?? 0)
  })
}

/** Progress that arrives after its work has ended is too late to show. */
function showProgress(progress: WorkProgress): void {
  if (work !== null) status.showProgress(progress)
}

/** Enables what can be done now; the focus never stays on a button that cannot be pressed any more. */
function showState(): void {
  const focused = document.activeElement
  generateButton.disabled = work !== null || model === null
  stopButton.disabled = work === null || work === 'load'
  verifyButton.disabled = work !== null || steps.length === 0
  picker.setEnabled(work === null)
  if (!(focused instanceof HTMLButtonElement) || !focused.disabled) return
  if (!stopButton.disabled) stopButton.focus()
  else if (focused === stopButton && !generateButton.disabled) generateButton.focus()
}
