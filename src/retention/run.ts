import { setImmediate, setTimeout } from 'node:timers/promises'
import { type Kysely, sql } from 'kysely'
import type { StorageMonth } from '../db/database.ts'
import type { Tables } from '../db/tables.ts'
import { isId } from '../ids.ts'
import { addEvents, type EventRow, eventRow } from '../store/audit-events.ts'
import type { Store } from '../store/contents.ts'
import { tally } from './do-step.ts'
import { dropMonths, isInMonths, monthNames } from './drop-months.ts'
import {
  type Cutoffs,
  cutoffsAt,
  groupOf,
  latestOf,
  type PolicyRow,
  periodsTold,
  type RetentionDefaults,
} from './periods.ts'
import { type ConversationRow, mayBeDue, planConversation } from './plan-conversation.ts'
import {
  type CallRow,
  callPage,
  conversationFacts,
  conversationPage,
  type Key,
  summarize,
  titleBytes,
} from './read-facts.ts'
import type { DoStep, DueConversation } from './steps.ts'
import { Tallies, type Tally } from './tally.ts'

export interface RetentionReport {
  /** The time that ages were counted to, in milliseconds since 1970, UTC. */
  readonly now: number
  /** True when nothing was changed: this is what would go. */
  readonly isDryRun: boolean
  readonly expired: readonly Tally[]
  /** Months of tables that were given up whole, and those that somebody worked with. */
  readonly droppedMonths: readonly string[]
  readonly busyMonths: readonly string[]
  /** Bytes of the file that were given back, and that nothing uses and that are still part of it. */
  readonly reclaimedBytes: number
  readonly unusedBytes: number
}

export interface RunParts {
  readonly database: Store
  readonly defaults: RetentionDefaults
  /** Does a step; undefined in a dry run. */
  readonly doStep: DoStep | undefined
  readonly now: number
  /** Told after every page: rows looked at, rows to look at. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined
  /** Called between two steps; what it throws ends the run, and whatever is done stays done. */
  readonly onPage?: (() => Promise<void>) | undefined
}

const callsAtATime = 250
const callsInAStep = 50
const conversationsAtATime = 200
const keysAtATime = 500

/** The events of runs belong to no user; hardly any application calls one so. */
const byItself = { userId: '-', by: 'retention' } as const

/**
 * Lets go what has expired: first whole months where the database has such, then calls, then conversations with their
 * messages, page by page in order of their keys; then the space is given back. Ended at any point it leaves a consistent
 * state, and the next run does the rest. A dry run looks at the same rows and decides the same way.
 */
export async function runRetention(parts: RunParts): Promise<RetentionReport> {
  const run = new Run(parts)
  try {
    return await run.all()
  } catch (error) {
    await run.note('failure').catch(() => undefined)
    throw error
  }
}

/** Milliseconds that a step may make the next one wait. */
const longestPause = 50

class Run {
  readonly #parts: RunParts
  /** Undefined in a dry run. */
  readonly #doStep: DoStep | undefined
  readonly #tallies = new Tallies()
  #months = { dropped: [] as readonly StorageMonth[], busy: [] as readonly StorageMonth[] }
  #done = 0
  #total = 0
  /** Undefined once it is on record. */
  #announcement: EventRow | undefined

  constructor(parts: RunParts) {
    this.#parts = parts
    const { doStep, database, defaults, now } = parts
    const details = { now, periods: periodsTold(defaults) }
    this.#announcement = eventRow({ ...byItself, action: 'retention.begun', details }, Date.now())
    this.#doStep = doStep && (database.capabilities.hasOneWriter ? unhurried(doStep) : doStep)
  }

  async all(): Promise<RetentionReport> {
    const { onProgress, now } = this.#parts
    const doStep = this.#doStep
    const { latest, oldestMetadata } = await this.#bounds()
    let reclaimed = { freed: 0, left: 0 }
    if (latest > 0) {
      if (onProgress !== undefined) this.#total = await this.#countRows()
      if (doStep !== undefined) await this.#dropMonths(oldestMetadata)
      await this.#calls(latest)
      await this.#conversations(latest)
      await this.#keys()
      await this.note('success')
    }
    if (doStep !== undefined) {
      await this.#forgetWords(doStep)
      reclaimed = await this.#reclaim(doStep)
    }
    return {
      now,
      isDryRun: doStep === undefined,
      expired: this.#tallies.list,
      droppedMonths: monthNames(this.#months.dropped),
      busyMonths: monthNames(this.#months.busy),
      reclaimedBytes: reclaimed.freed,
      unusedBytes: reclaimed.left,
    }
  }

  /** Leaves an event of what was done, if anything was. */
  async note(outcome: 'success' | 'failure'): Promise<void> {
    const { now, defaults } = this.#parts
    const doStep = this.#doStep
    const expired = this.#tallies.list
    if (doStep === undefined || expired.length === 0) return
    const periods = periodsTold(defaults)
    const details = { now, periods, expired, dropped_months: monthNames(this.#months.dropped) }
    const severity = outcome === 'success' ? 'info' : 'warning'
    const event = { ...byItself, action: 'retention.run', outcome, severity, details } as const
    await doStep({ kind: 'note', event: eventRow(event, now) })
  }

  /** The youngest cutoff of any user, and the oldest one of metadata: what is older has expired for everybody. */
  async #bounds(): Promise<{ latest: number; oldestMetadata: number }> {
    const { database, defaults, now } = this.#parts
    // Users with the same periods are one: there may be as many policies as users.
    const rows: PolicyRow[] = await database.kysely
      .selectFrom('retention_policies')
      .select(['content_days', 'metadata_days', 'inactive_days', sql<string>`min(user_id)`.as('user_id')])
      .groupBy(['content_days', 'metadata_days', 'inactive_days'])
      .execute()
    const cutoffs = [undefined, ...rows].map(policy => cutoffsAt(now, defaults, policy))
    return {
      latest: Math.max(...cutoffs.map(latestOf)),
      oldestMetadata: Math.min(...cutoffs.map(({ metadata }) => metadata)),
    }
  }

  async #countRows(): Promise<number> {
    const { kysely } = this.#parts.database
    const { rows } = await sql<{ count: number }>`
      SELECT (SELECT count(*) FROM llm_requests) + (SELECT count(*) FROM conversations) AS count`.execute(
      kysely,
    )
    return rows[0]?.count ?? 0
  }

  async #turn(rows: number): Promise<void> {
    this.#done += rows
    this.#parts.onProgress?.(this.#done, Math.max(this.#total, this.#done))
    // A database in this process answers without ever letting others have the thread.
    await setImmediate()
    await this.#parts.onPage?.()
  }

  async #dropMonths(before: number): Promise<void> {
    const { database, defaults, now } = this.#parts
    const { dropped, busy, tallies } = await dropMonths(database, {
      defaults,
      now,
      before,
      removeConversations: async keys => this.#doConversations(await this.#dueOf(keys)),
      note: async tx => {
        if (this.#announcement !== undefined) await addEvents(tx, database.contents, this.#announcement)
      },
      onDropped: () => {
        this.#announcement = undefined
      },
    })
    this.#months = { dropped, busy }
    this.#tallies.addAll(tallies)
    await this.#turn(0)
  }

  async #calls(before: number): Promise<void> {
    const { database } = this.#parts
    const doStep = this.#doStep
    const isBusy = isInMonths(this.#months.busy, 'llm_requests')
    for (let after: Key | undefined; ; ) {
      const page = await callPage(database.kysely, { after, before, limit: callsAtATime })
      const periods = await this.#periodsOf(page)
      const removed: CallRow[] = []
      const cleared: CallRow[] = []
      const tallies: Tally[] = []
      for (const call of page) {
        const { cutoffs, group } = periods(call.user_id)
        if (!call.is_settled || call.created_at >= cutoffs.content || isBusy(call.id)) continue
        const reason = call.created_at < cutoffs.metadata ? 'metadata' : 'content'
        if (reason === 'content' && call.bytes === 0) continue
        ;(reason === 'metadata' ? removed : cleared).push(call)
        tallies.push({ group, reason, kind: 'calls', rows: 1, bytes: call.bytes })
      }
      for (let at = 0; at < Math.max(removed.length, cleared.length); at += callsInAStep) {
        const part = (calls: readonly CallRow[]): Key[] => calls.slice(at, at + callsInAStep).map(keyOf)
        const announcement = this.#announcement
        await doStep?.({ kind: 'calls', removed: part(removed), cleared: part(cleared), announcement })
        this.#announcement = undefined
      }
      this.#tallies.addAll(tallies)
      await this.#turn(page.length)
      after = page.at(-1)
      if (page.length < callsAtATime || after === undefined) return
    }
  }

  async #conversations(before: number): Promise<void> {
    const { database } = this.#parts
    const isBusy = isInMonths(this.#months.busy, 'messages')
    for (let after: Key | undefined; ; ) {
      const page = await conversationPage(database.kysely, { after, before, limit: conversationsAtATime })
      await this.#doConversations(await this.#dueOf(page.filter(({ id }) => !isBusy(id))))
      await this.#turn(page.length)
      after = page.at(-1)
      if (page.length < conversationsAtATime || after === undefined) return
    }
  }

  /** Of these conversations, those in which something may be due. */
  async #dueOf(keys: readonly (Key | ConversationRow)[]): Promise<DueConversation[]> {
    const { kysely } = this.#parts.database
    const periods = await this.#periodsOf(keys)
    const conversations = keys.every(isRow) ? keys : await readConversations(kysely, keys)
    const summaries = await summarize(kysely, conversations)
    return summaries.flatMap(summary => {
      const { user_id, id } = summary.conversation
      const due = periods(user_id)
      return mayBeDue(summary, due.cutoffs) ? [{ user_id, id, ...due }] : []
    })
  }

  async #doConversations(due: readonly DueConversation[]): Promise<void> {
    const { now } = this.#parts
    const doStep = this.#doStep
    if (doStep === undefined) return this.#previewConversations(due)
    for (let rest = due; rest.length > 0; ) {
      const announcement = this.#announcement
      const { done, tallies } = await doStep({ kind: 'conversations', due: rest, now, announcement })
      if (tallies.length > 0) this.#announcement = undefined
      this.#tallies.addAll(tallies)
      rest = rest.slice(done)
      await this.#turn(0)
    }
  }

  async #previewConversations(due: readonly DueConversation[]): Promise<void> {
    const { database, now } = this.#parts
    for (const conversation of due) {
      const { cutoffs, group } = conversation
      const facts = await conversationFacts(database.kysely, conversation, { cutoffs, now, lock: sql`` })
      if (facts !== undefined) tally(this.#tallies, group, planConversation(facts, cutoffs, now))
      await this.#turn(0)
    }
  }

  /** Forgets the idempotency keys of calls that are gone: nobody would ever answer for them. */
  async #keys(): Promise<void> {
    const { database } = this.#parts
    const doStep = this.#doStep
    if (doStep === undefined) return
    for (let after = { user_id: '', key_hash: '' }; ; ) {
      const page = await database.kysely
        .selectFrom('idempotency_keys as k')
        .leftJoin('llm_requests as q', join =>
          join.onRef('q.id', '=', 'k.call_id').onRef('q.user_id', '=', 'k.user_id'),
        )
        .select(['k.user_id', 'k.key_hash', 'k.call_id', 'q.id'])
        .where(sql<boolean>`(k.user_id, k.key_hash) > (${after.user_id}, ${after.key_hash})`)
        .orderBy('k.user_id')
        .orderBy('k.key_hash')
        .limit(keysAtATime)
        .execute()
      const keys = page
        // A key may stand for something else than a call, until it expires.
        .filter(({ id, call_id }) => id === null && isId('call', call_id))
        .map(({ user_id, key_hash }) => ({ user_id, key_hash }))
      if (keys.length > 0) await doStep({ kind: 'keys', keys })
      await this.#turn(0)
      const last = page.at(-1)
      if (page.length < keysAtATime || last === undefined) return
      after = last
    }
  }

  /** Deleting leaves words in the search index of some databases, whoever it was that deleted. */
  async #forgetWords(doStep: DoStep): Promise<void> {
    for (let isFirst = true, isMore = true; isMore; isFirst = false) {
      isMore = (await doStep({ kind: 'forget-words', isFirst })).isMore
      await this.#turn(0)
    }
  }

  async #reclaim(doStep: DoStep): Promise<{ freed: number; left: number }> {
    for (let freed = 0; ; ) {
      const { reclaimed } = await doStep({ kind: 'reclaim' })
      freed += reclaimed.freed
      if (reclaimed.freed === 0 || reclaimed.left === 0) return { freed, left: reclaimed.left }
      await this.#turn(0)
    }
  }

  /** The periods of the users of some rows. */
  async #periodsOf(
    rows: readonly { readonly user_id: string }[],
  ): Promise<(userId: string) => { cutoffs: Cutoffs; group: string }> {
    const { database, defaults, now } = this.#parts
    const users = [...new Set(rows.map(row => row.user_id))]
    const policies: PolicyRow[] =
      users.length === 0
        ? []
        : await database.kysely
            .selectFrom('retention_policies')
            .selectAll()
            .where('user_id', 'in', users)
            .execute()
    const known = new Map(policies.map(policy => [policy.user_id, policy]))
    return userId => {
      const policy = known.get(userId)
      return { cutoffs: cutoffsAt(now, defaults, policy), group: groupOf(defaults, policy) }
    }
  }
}

/** Leaves calls as much of the one writer's time as it takes. */
function unhurried(doStep: DoStep): DoStep {
  return async step => {
    const startedAt = performance.now()
    const result = await doStep(step)
    await setTimeout(Math.min(performance.now() - startedAt, longestPause))
    return result
  }
}

function isRow(key: Key | ConversationRow): key is ConversationRow {
  return 'created_at' in key
}

async function readConversations(db: Kysely<Tables>, keys: readonly Key[]): Promise<ConversationRow[]> {
  const wanted = new Set(keys.map(({ user_id, id }) => `${id} ${user_id}`))
  const rows = await db
    .selectFrom('conversations')
    .selectAll()
    .select(titleBytes)
    .where(
      'id',
      'in',
      keys.map(({ id }) => id),
    )
    .execute()
  return rows.filter(({ user_id, id }) => wanted.has(`${id} ${user_id}`))
}

function keyOf({ user_id, id }: Key): Key {
  return { user_id, id }
}
