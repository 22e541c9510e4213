import { setTimeout as sleep } from 'node:timers/promises'
import type { Stele } from '../../stele.ts'
import type { AuditConditions } from '../../store/audit-queries.ts'
import type { AuditEvent } from '../../store/audit-reading.ts'
import { type AuditFilterOptions, auditColumns, auditConditions } from '../audit-filter.ts'
import { withStele } from '../open-store.ts'
import { say, writeJson, writeLine } from '../output.ts'
import { toRecord } from '../record.ts'
import { formatRow, formatTable } from '../table.ts'

export interface TailAuditOptions extends AuditFilterOptions {
  readonly json?: boolean
}

const interval = 1_000

/** Prints events as they are written, in the order of the log, until the process is told to stop. */
export async function tailAudit(options: TailAuditOptions): Promise<void> {
  const { json } = options
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort())
  await withStele(options, async ({ auditEvents }) => {
    const following = new Following(auditEvents, auditConditions(options))
    await following.start()
    if (json !== true) await writeLine(formatTable(auditColumns, []).trimEnd())
    say('Waiting for events. Ctrl-C ends.')
    while (!stop.signal.aborted) {
      for (const event of await following.poll())
        await (json === true
          ? writeJson(toRecord(event), { inOneLine: true })
          : writeLine(formatRow(auditColumns, event)))
      // Rejects when told to stop, which the loop's condition sees.
      await sleep(interval, undefined, { signal: stop.signal }).catch(() => undefined)
    }
  })
}

/**
 * What is written after it was asked first. What waits for the log may swap places until it is in it, and is met again there; each
 * event is told once.
 */
class Following {
  readonly #events: Stele['auditEvents']
  readonly #conditions: AuditConditions
  /** Everything up to it has been told, or was there before. */
  #floor: string | undefined
  /** What has been met above it. */
  #known: ReadonlySet<string> = new Set()

  constructor(events: Stele['auditEvents'], conditions: AuditConditions) {
    this.#events = events
    this.#conditions = conditions
  }

  async start(): Promise<void> {
    this.#floor = await this.#events.head()
    this.#known = new Set((await this.#met()).map(nameOf))
  }

  /** The new ones, the oldest first. */
  async poll(): Promise<AuditEvent[]> {
    const head = await this.#events.head()
    const met = await this.#met()
    const fresh = met.filter(event => !this.#known.has(nameOf(event)))
    this.#known = new Set(met.map(nameOf))
    this.#floor = head
    return fresh.reverse()
  }

  #met(): Promise<AuditEvent[]> {
    return this.#events.list({
      ...this.#conditions,
      after: this.#floor,
      limit: Number.MAX_SAFE_INTEGER,
    })
  }
}

function nameOf({ id, userId }: AuditEvent): string {
  return `${id} ${userId}`
}
