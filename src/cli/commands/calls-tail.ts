import { setTimeout as sleep } from 'node:timers/promises'
import type { Call } from '../../store/calls.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { say, writeJson, writeLine } from '../output.ts'
import { toRecord } from '../record.ts'
import { SettledCalls } from '../settled-calls.ts'
import { type Column, formatRow, formatTable } from '../table.ts'
import { countText, inputText, outputText, timeText } from '../values.ts'

export interface TailCallsOptions extends GlobalOptions {
  readonly user?: string
  readonly json?: boolean
}

const interval = 1_000

const columns: readonly Column<Call>[] = [
  { title: 'SETTLED', text: ({ settledAt }) => timeText(settledAt), width: 20 },
  { title: 'ID', text: ({ id }) => id, width: 31 },
  { title: 'STATUS', text: ({ status }) => status, width: 9 },
  { title: 'IN', text: inputText, align: 'right', width: 6 },
  { title: 'OUT', text: outputText, align: 'right', width: 6 },
  { title: 'MS', text: ({ latencyMs }) => countText(latencyMs), align: 'right', width: 6 },
  { title: 'USER', text: ({ userId }) => userId, width: 16 },
  { title: 'MODEL', text: ({ responseModel, requestModel }) => responseModel ?? requestModel },
]

/** Prints calls as they are settled, until the process is told to stop. */
export async function tailCalls(options: TailCallsOptions): Promise<void> {
  const { user, json } = options
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort())
  await withStele(options, async ({ calls }) => {
    const settled = new SettledCalls(calls, user)
    await settled.start()
    if (json !== true) await writeLine(formatTable(columns, []).trimEnd())
    say('Waiting for calls to be settled. Ctrl-C ends.')
    while (!stop.signal.aborted) {
      for (const call of await settled.poll()) {
        await (json === true
          ? writeJson(toRecord(call), { inOneLine: true })
          : writeLine(formatRow(columns, call)))
      }
      // Rejects when told to stop, which the loop's condition sees.
      await sleep(interval, undefined, { signal: stop.signal }).catch(() => undefined)
    }
  })
}
