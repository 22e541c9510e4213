import { setTimeout as pauseFor } from 'node:timers/promises'
import type { Database } from '../db/database.ts'
import { checkUsage, type UsageCheck } from './check.ts'
import {
  type ConversationOrder,
  type ConversationQuery,
  type ConversationUsage,
  topConversations,
} from './conversations.ts'
import { checkedConversationQuery, checkedQuery } from './input.ts'
import { type Dimension, reportOn, type UsageFilter, type UsageReport } from './report.ts'
import type { DoUsageStep } from './steps.ts'

/** Which calls a report is about, and what it sums up by. */
export interface UsageInput {
  /** Nothing when left out: then there is one row. */
  readonly by?: readonly Dimension[] | undefined
  /** The first and the last day (UTC, YYYY-MM-DD) on which calls were settled; the last 30 days when left out. */
  readonly since?: string | undefined
  readonly until?: string | undefined
  /** Only these; everybody's when left out. '' of key and document type: calls with none. */
  readonly user?: string | undefined
  readonly model?: string | undefined
  readonly provider?: string | undefined
  readonly key?: string | undefined
  readonly documentType?: string | undefined
  readonly operation?: string | undefined
  /** Rows at most, 1,000 when left out. */
  readonly limit?: number | undefined
}

export interface TopConversationsInput {
  readonly since?: string | undefined
  readonly until?: string | undefined
  readonly user?: string | undefined
  /** What is most; `cost` when left out. */
  readonly order?: ConversationOrder | undefined
  /** 10 when left out. */
  readonly limit?: number | undefined
}

export interface RollUpRun {
  /** Told after each step how many calls were added. */
  readonly onProgress?: ((calls: number) => void) | undefined
  /** Ends it between two steps: what is done stays done. */
  readonly signal?: AbortSignal | undefined
}

export interface Usage {
  /**
   * What calls took and cost, exact at this moment. @throws SteleError invalid_value, store_unavailable
   * @example await stele.usage.report({ by: ['day', 'model'], since: '2026-01-01' })
   */
  report(input?: UsageInput): Promise<UsageReport>
  /** The conversations that took most. @throws SteleError invalid_value, store_unavailable */
  conversations(input?: TopConversationsInput): Promise<ConversationUsage[]>
  /**
   * Adds calls to the sums that reports read, which makes reports fast. Whoever records does so every minute by itself; several
   * at once do no harm. Returns how many were added. @throws SteleError store_unavailable
   */
  rollUp(run?: RollUpRun): Promise<number>
  /** Counts every call again and compares. @throws SteleError store_unavailable */
  check(onProgress?: (calls: number) => void): Promise<UsageCheck>
  /** Makes sums right that a check found wrong, one after another. @throws SteleError store_unavailable */
  repair(found: Pick<UsageCheck, 'differences'>): Promise<void>
}

/** Calls in a step: it takes about as long as some commits of calls. */
const callsInAStep = 500

/** Milliseconds that a step may make the next one wait. */
const longestPause = 50

export function createUsage(database: Database, doStep: DoUsageStep): Usage {
  return {
    async report(input = {}) {
      const query = checkedQuery(input, Date.now())
      return database.snapshot(db => reportOn(db, query))
    },
    async conversations(input = {}) {
      const query: ConversationQuery = checkedConversationQuery(input, Date.now())
      return database.snapshot(db => topConversations(db, query))
    },
    async rollUp({ onProgress, signal } = {}) {
      for (let total = 0; ; ) {
        const startedAt = performance.now()
        const { calls, isDone } = await doStep({ kind: 'roll-up', limit: callsInAStep, now: Date.now() })
        total += calls
        onProgress?.(total)
        if (isDone || signal?.aborted === true) return total
        // Calls get as much of the writer's time as this takes.
        await pauseFor(Math.min(performance.now() - startedAt, longestPause))
      }
    },
    check: onProgress => database.snapshot(db => checkUsage(db, onProgress)),
    async repair({ differences }) {
      const cells = new Map(differences.map(({ cell }) => [JSON.stringify(cell), cell]))
      // Those of everybody last: they follow from the others.
      const ordered = [...cells.values()].sort((a, b) => Number(a.userId === '') - Number(b.userId === ''))
      for (const cell of ordered) await doStep({ kind: 'repair', cell })
    },
  }
}

export type { UsageFilter }
