import { changeSummedCosts } from '../analytics/changed-costs.ts'
import { type EventRow, eventRow } from '../store/audit-events.ts'
import { writeEvents } from '../store/audit-queue.ts'
import type { Store } from '../store/contents.ts'
import { correctUsage } from '../store/usage.ts'

/** The cost of a call that is to be another. */
export interface CostChange {
  readonly userId: string
  readonly callId: string
  /** The model under which its day counts it, and when it was settled. */
  readonly model: string
  readonly settledAt: number
  /** Nano-US-dollars; null for unknown. A call that costs something else by now is left as it is. */
  readonly before: number | null
  readonly after: number | null
}

/** A part of a run that is done in one short transaction. Plain data: it crosses to the writer thread. */
export interface RepriceStep {
  readonly changes: readonly CostChange[]
  readonly actor: string
  readonly at: number
}

/** Does a step; returns how many calls it changed. Doing it again changes nothing. */
export type DoRepriceStep = (step: RepriceStep) => Promise<number>

/** Corrects the costs of calls, the sums of their days by as much, and leaves an event for each of their users. */
export function doRepriceStep(
  database: Pick<Store, 'batch' | 'contents'>,
  step: RepriceStep,
): Promise<number> {
  return database.batch(async batch => {
    const keys = step.changes.map(({ callId, userId }) => ({ request_id: callId, user_id: userId }))
    const rows = await batch.find(
      'llm_responses',
      ['request_id', 'user_id'],
      keys,
      ['request_id', 'user_id', 'cost_nanousd', 'created_at'],
      { lock: true },
    )
    const stored = new Map(rows.map(row => [`${row.request_id} ${row.user_id}`, row]))
    const changes = step.changes.filter(({ callId, userId, before, settledAt }) => {
      const row = stored.get(`${callId} ${userId}`)
      return row?.cost_nanousd === before && row.created_at === settledAt
    })
    await batch.permit('repricing')
    await batch.update(
      'llm_responses',
      ['cost_nanousd'],
      ['request_id', 'user_id'],
      changes.map(({ callId, userId, after }) => ({
        set: { cost_nanousd: after },
        match: { request_id: callId, user_id: userId },
      })),
    )
    await correctUsage(batch, changes)
    await changeSummedCosts(batch, changes)
    await writeEvents(batch, database.contents, eventsOf(changes, step))
    return changes.length
  })
}

function eventsOf(changes: readonly CostChange[], { actor, at }: RepriceStep): EventRow[] {
  return [...Map.groupBy(changes, ({ userId }) => userId)].map(([userId, own]) => {
    const target = own.length === 1 ? own[0]?.callId : undefined
    const details = {
      calls: own.length,
      first_call: own[0]?.callId,
      last_call: own.at(-1)?.callId,
      cost_nanousd_before: sum(own.map(({ before }) => before ?? 0)),
      cost_nanousd_after: sum(own.map(({ after }) => after ?? 0)),
      unpriced_before: own.filter(({ before }) => before === null).length,
    }
    return eventRow({ userId, by: actor, action: 'calls.repriced', target, details }, at)
  })
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
