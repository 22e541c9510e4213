import { setTimeout as sleep } from 'node:timers/promises'

const patience = 60_000
const pause = 50

interface Readiness {
  readonly status?: string
  /** Records kept beside the database while it was away, and how many of them are still there. */
  readonly spool?: { readonly depth?: number }
}

/** Resolves when the gateway is ready and has nothing left to carry into the database. */
export async function drained(address: () => string | undefined): Promise<void> {
  let last: unknown = 'it was down'
  for (const deadline = Date.now() + patience; Date.now() < deadline; await sleep(pause)) {
    try {
      const reply = await fetch(`${address() ?? 'http://127.0.0.1:0'}/readyz`, {
        signal: AbortSignal.timeout(5_000),
      })
      const readiness = (await reply.json()) as Readiness
      if (reply.ok && readiness.status === 'ready' && (readiness.spool?.depth ?? 0) === 0) return
      last = JSON.stringify(readiness)
    } catch (error) {
      last = error
    }
  }
  throw new Error(`the gateway was not ready and drained within ${patience / 1000} s: ${String(last)}`)
}
