import { type DeviceWish, openDevice, type TestDevice } from '../support/open-device.ts'

let sharedDevice: Promise<GPUDevice> | undefined

/** What a check works with; everything made through it is disposed when the check ends. */
export class CheckContext {
  readonly #wish: DeviceWish
  readonly #opened: { dispose(): void | Promise<void> }[] = []
  readonly uncaptured: string[] = []
  /** What the check measured, for its result. */
  readonly notes: string[] = []

  constructor(wish: DeviceWish) {
    this.#wish = wish
  }

  /** A device that checks share, with the pipelines that it has compiled; not to be destroyed. */
  async shared(): Promise<GPUDevice> {
    sharedDevice ??= openDevice(this.#wish).then(({ device }) => device)
    const device = await sharedDevice
    device.onuncapturederror = (event) => void this.uncaptured.push(event.error.message)
    return device
  }

  /** A device of the check's own, with the features that the whole run is meant to have. */
  async open(wish: DeviceWish = {}): Promise<TestDevice> {
    const opened = await openDevice({
      ...wish,
      without: [...(this.#wish.without ?? []), ...(wish.without ?? [])],
    })
    opened.device.onuncapturederror = (event) => void this.uncaptured.push(event.error.message)
    this.keep({ dispose: () => opened.device.destroy() })
    return opened
  }

  note(text: string): void {
    this.notes.push(text)
  }

  keep<T extends { dispose(): void | Promise<void> }>(opened: T): T {
    this.#opened.push(opened)
    return opened
  }

  async dispose(): Promise<void> {
    for (const opened of this.#opened.reverse()) await opened.dispose()
  }
}

/** One fact about the package on a device, with the code that checks it. */
export interface Check {
  name: string
  run(context: CheckContext): Promise<void>
}
