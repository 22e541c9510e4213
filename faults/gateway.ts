import { setTimeout as sleep } from 'node:timers/promises'
import { type GatewayProcess, startGatewayProcess } from './gateway-process.ts'

export interface GatewaySetup {
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  readonly main?: string | undefined
  readonly nodeArguments: readonly string[]
}

/** How long a gateway may take to come up or to end, in milliseconds. */
const patience = 60_000

const restartPause = 200

const keptLog = 4_000

/** The gateway under test: one process at a time, whose every end must have been asked for. */
export class Gateway {
  readonly #setup: GatewaySetup
  readonly #crashes: string[] = []
  #process: GatewayProcess | undefined
  #address: string | undefined
  #isEnding = false
  #isClosed = false

  constructor(setup: GatewaySetup) {
    this.#setup = setup
  }

  /** Where it is; undefined while it is down. */
  get address(): string | undefined {
    return this.#address
  }

  /** Starts it, again and again while its database is out of reach, as a supervisor would. */
  async start(): Promise<void> {
    for (const deadline = Date.now() + patience; ; await sleep(restartPause)) {
      const failure = await this.#startOnce({})
      if (failure === undefined) return
      if (Date.now() > deadline) throw new Error('the gateway does not come up', { cause: failure })
    }
  }

  /** Starts it once under a limit that may keep it from coming up. Returns whether it did. */
  async startLimited(fileLimit: number): Promise<boolean> {
    return (await this.#startOnce({ fileLimit })) === undefined
  }

  async #startOnce(limits: { fileLimit?: number }): Promise<unknown> {
    if (this.#isClosed) throw new Error('the run is over')
    const started = startGatewayProcess({ ...this.#setup, ...limits })
    this.#process = started
    this.#isEnding = false
    const late = setTimeout(() => {
      this.#crashes.push(`it neither came up nor ended within ${patience / 1000} s: ${tail(started)}`)
      started.kill('SIGKILL')
    }, patience)
    try {
      this.#address = await started.address
    } catch (error) {
      await started.ended
      return error
    } finally {
      clearTimeout(late)
    }
    void started.ended.then(end => this.#watch(started, end))
    return undefined
  }

  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  /** Tells it to stop and waits until it has, everything committed. */
  async stop(): Promise<void> {
    const stopping = this.#process
    const end = await this.#end('SIGTERM')
    if (end !== undefined && end.code !== 0)
      this.#crashes.push(`told to stop, it ended with ${end.code ?? end.signal}: ${tail(stopping)}`)
  }

  /** Ends it for good. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.kill()
  }

  freeze(): void {
    this.#process?.kill('SIGSTOP')
  }

  thaw(): void {
    this.#process?.kill('SIGCONT')
  }

  /** What it said of ends that nobody asked for, since this was last called. */
  takeCrashes(): string[] {
    return this.#crashes.splice(0)
  }

  async #end(
    signal: NodeJS.Signals,
  ): Promise<{ code: number | null; signal: NodeJS.Signals | null } | undefined> {
    const ending = this.#process
    this.#process = undefined
    this.#address = undefined
    this.#isEnding = true
    if (ending === undefined) return undefined
    ending.kill(signal)
    const late = setTimeout(() => {
      this.#crashes.push(`after ${signal} it had not ended within ${patience / 1000} s`)
      ending.kill('SIGKILL')
    }, patience)
    try {
      return await ending.ended
    } finally {
      clearTimeout(late)
    }
  }

  /** Brings it up again, so that a round goes on, and notes that it fell. */
  #watch(ended: GatewayProcess, { code, signal }: { code: number | null; signal: string | null }): void {
    if (this.#isEnding || this.#process !== ended) return
    this.#address = undefined
    this.#crashes.push(`it ended by itself with ${code ?? signal}: ${tail(ended)}`)
    void this.start().catch(error => this.#crashes.push(String(error)))
  }
}

function tail(gateway: GatewayProcess | undefined): string {
  return (gateway?.stderr() ?? '').slice(-keptLog)
}
