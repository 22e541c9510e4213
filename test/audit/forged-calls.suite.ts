import { type Kysely, sql } from 'kysely'
import { expect, test } from 'vitest'
import { type LogVerdict, type VerifyLogOptions, verifyLog } from '../../src/audit/verify/store.ts'
import { requireTold } from '../../src/audit/verify/told.ts'
import type { Tables } from '../../src/db/tables.ts'
import { derivedId, newId } from '../../src/ids.ts'
import type { Stele } from '../../src/stele.ts'
import { begin, chatBody, exchange, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { dropGuards } from '../harness/guards.ts'
import { liveEverywhere } from '../harness/lives.ts'
import { seeded } from './mutations.ts'

/** How many calls are made up; more of them with the environment variable. */
const forgeries = Math.max(36, Math.round(Number(process.env['MUTATIONS'] ?? 0) / 10))

const day = 86_400_000

type Db = Kysely<Tables>
type Draw = <T>(values: readonly T[]) => T

/** What is on record, to be copied. */
interface Scene {
  readonly stele: Stele
  /** Calls with their replies, and one that is open. */
  readonly calls: readonly string[]
  readonly open: string
}

async function copyRequest(db: Db, from: string, changed: Partial<Tables['llm_requests']>): Promise<void> {
  const row = await db.selectFrom('llm_requests').selectAll().where('id', '=', from).executeTakeFirstOrThrow()
  await db
    .insertInto('llm_requests')
    .values({ ...row, ...changed })
    .execute()
}

async function copyReply(db: Db, from: string, changed: Partial<Tables['llm_responses']>): Promise<void> {
  const query = db.selectFrom('llm_responses').selectAll().where('request_id', '=', from)
  await db
    .insertInto('llm_responses')
    .values({ ...(await query.executeTakeFirstOrThrow()), ...changed })
    .execute()
}

/** Ids that somebody may give a call: of now, long ago, far ahead, next to another, and such as Stele gives none. */
const ids: readonly ((other: string, bytes: Buffer) => string)[] = [
  () => newId('call'),
  (_, bytes) => derivedId('call', 1, bytes),
  (_, bytes) => derivedId('call', 4_000_000_000_000, bytes),
  (other, bytes) => `${other.slice(0, -6)}${bytes.toString('hex', 0, 3)}`,
  (_, bytes) => `a${bytes.toString('hex')}`,
  (_, bytes) => `z${bytes.toString('hex')}`,
]

const untoldCall = (id: string) => `no event tells of the call ${id}`
const untoldEnd = (id: string) => `no event tells of the end of ${id}`

/** What somebody can put into the database, each with what is said of it. */
const kinds: Record<string, (db: Db, scene: Scene, id: string, draw: Draw) => Promise<string>> = {
  async 'a request'(db, { calls }, id, draw) {
    await copyRequest(db, draw(calls), { id })
    return untoldCall(id)
  },
  async 'a reply to a call that is open'(db, { calls, open }, _id, draw) {
    await copyReply(db, draw(calls), { request_id: open, user_id: 'bob' })
    return untoldEnd(open)
  },
  async 'a whole call'(db, { calls }, id, draw) {
    const from = draw(calls)
    await copyRequest(db, from, { id })
    await copyReply(db, from, { request_id: id })
    return untoldCall(id)
  },
  async 'a whole call that says it was imported'(db, { calls }, id, draw) {
    const from = draw(calls)
    await copyRequest(db, from, { id, instance_id: 'import' })
    await copyReply(db, from, { request_id: id })
    return untoldCall(id)
  },
  async 'the call of another user, by its own id'(db, { calls }, _id, draw) {
    const from = draw(calls)
    await copyRequest(db, from, { user_id: 'mallory' })
    await copyReply(db, from, { user_id: 'mallory' })
    return untoldCall(from)
  },
  async 'a call whose id and user read together as those of another'(db, { calls: [, from = ''] }) {
    const forged = { id: `${from} bob`, user_id: 'c' }
    await copyRequest(db, from, forged)
    return untoldCall(forged.id)
  },
  async 'nothing, and takes the events of calls away while they wait'(db, { calls: [, , waiting = ''] }) {
    await sql`DELETE FROM audit_events WHERE id NOT IN (SELECT event_id FROM audit_log)`.execute(db)
    await db.deleteFrom('audit_queue').execute()
    return untoldCall(waiting)
  },
  async 'a reply to nothing'(db, { calls }, id, draw) {
    await copyReply(db, draw(calls), { request_id: id })
    return untoldEnd(id)
  },
}

/** A record of calls of all kinds, some of which wait for the log. Its guards are dropped. */
async function scene(bed: Bed): Promise<Scene> {
  const stele = await (await bed.place()).stele({ audit: { sequence: false } })
  const { callId } = await liveEverywhere(stele, 'ada')
  const first = await exchange(stele, [user('one')], 'to one', { userId: 'bob c' })
  await exchange(stele, [user('gone')], 'to gone', { userId: 'eve' })
  await stele.erase('eve')
  await stele.auditLog.sequence()
  const waiting = await exchange(stele, [user('two')], 'to two', { userId: 'bob' })
  const { callId: open } = await begin(stele, chatBody([user('slow')]), { userId: 'bob' })
  await dropGuards(stele.database)
  return { stele, calls: [callId, first.call.callId, waiting.call.callId], open }
}

/** What a verification says when this has been done, which is undone afterwards. */
async function verdictAfter(
  { database }: Stele,
  change: (db: Db) => Promise<unknown>,
  options: VerifyLogOptions = {},
): Promise<LogVerdict> {
  const undone = new Error('undone')
  const verdicts: LogVerdict[] = []
  const work = database.kysely.transaction().execute(async tx => {
    await change(tx)
    const seen = { ...database, kysely: tx, snapshot: <R>(read: (db: Db) => Promise<R>) => read(tx) }
    verdicts.push(await verifyLog(seen, { contents: true, ...options }))
    throw undone
  })
  await expect(work).rejects.toThrow(undone)
  const [verdict] = verdicts
  if (verdict === undefined) throw new Error('nothing was verified')
  return verdict
}

/** Calls that somebody has put straight into the database. */
export function forgedCallsSuite(bed: Bed): void {
  test(`${forgeries} calls that were put in are noticed, every one, and named`, {
    timeout: 60_000 + forgeries * 500,
  }, async () => {
    const here = await scene(bed)
    const untouched = await verdictAfter(here.stele, async () => undefined)
    expect(untouched).toMatchObject({ verified: true, fault: undefined })
    expect(untouched.pending).toBeGreaterThan(2)
    for (let seed = 1; seed <= forgeries; seed++) {
      const random = seeded(seed)
      const draw: Draw = values => values[Math.floor(random() * values.length)] as (typeof values)[number]
      const names = Object.keys(kinds)
      const name = names[seed % names.length] ?? ''
      const bytes = Buffer.from(Array.from({ length: 10 }, () => Math.floor(random() * 256)))
      const id = draw(ids)(draw(here.calls), bytes)
      let told = ''
      const verdict = await verdictAfter(here.stele, async db => {
        told = (await kinds[name]?.(db, here, id, draw)) ?? ''
      })
      expect(verdict.fault, `${seed}: ${name} ${id}`).toEqual({ reason: told })
      expect(verdict.verified).toBe(false)
    }
  })

  test('what is left out of a verification is not left out of this: the calls before a kept checkpoint are looked at, too', async () => {
    const here = await scene(bed)
    const { stele, calls } = here
    const { checkpoint = '' } = await stele.audit.verify()
    const options = { incremental: true, checkpoints: [checkpoint] }
    expect(await verdictAfter(stele, async () => undefined, options)).toMatchObject({ verified: true })
    const id = derivedId('call', Date.now() - 400 * day, Buffer.alloc(10, 7))
    const [from = ''] = calls
    const { fault } = await verdictAfter(stele, db => copyRequest(db, from, { id }), options)
    expect(fault).toEqual({ reason: untoldCall(id) })
    // Without contents nothing of calls is looked at.
    const unasked = await verdictAfter(stele, db => copyRequest(db, from, { id }), { contents: false })
    expect(unasked).toMatchObject({ verified: true })
  })

  test('an event that waits tells of a call as it was queued, and of no other', async () => {
    const { stele, calls } = await scene(bed)
    await stele.auditLogger.logEvent({ eventType: 'seen', userId: 'bob' })
    const events = await stele.auditEvents.list({ userId: 'bob', limit: 100 })
    const event = events.find(({ action }) => action === 'app.seen')
    expect(event?.logIndex).toBeUndefined()
    const id = newId('call')
    const [, from = ''] = calls
    const { fault } = await verdictAfter(stele, async db => {
      await copyRequest(db, from, { id })
      await sql`UPDATE audit_events SET action = 'call.begun', target = ${id} WHERE id = ${event?.id ?? ''}`.execute(
        db,
      )
    })
    expect(fault).toEqual({ eventId: event?.id, reason: 'the event is not the one that waits for the log' })
    // One that reads like it, with its user, does not wait.
    await stele.auditLogger.logEvent({ eventType: 'seen', userId: 'bob c' })
    const [other] = await stele.auditEvents.list({ userId: 'bob c', limit: 1 })
    const forged = `${other?.id} bob`
    const verdict = await verdictAfter(stele, async db => {
      const like = db
        .selectFrom('audit_events')
        .selectAll()
        .where('id', '=', other?.id ?? '')
      const row = { ...(await like.executeTakeFirstOrThrow()), id: forged, user_id: 'c' }
      await db.insertInto('audit_events').values(row).execute()
    })
    expect(verdict.fault?.eventId).toBe(forged)
  })

  test('calls whose ids are of other times than their events are told of, however few are held at once', async () => {
    const stele = await (await bed.place()).stele({ audit: { sequence: false } })
    const times = [1, Date.now() - 400 * day, Date.now() - day / 2, Date.now() + day, Date.now() + 400 * day]
    for (const [at, time] of times.entries()) {
      const callId = derivedId('call', time, Buffer.alloc(10, at + 1))
      await exchange(stele, [user(`question ${at}`)], 'answer', { callId })
      await exchange(stele, [user(`another ${at}`)], 'answer', { userId: 'bob' })
    }
    await stele.auditLog.sequence()
    const { kysely, contents } = stele.database
    const reading = { kysely, contents }
    for (const most of [1, 2, 3, 7, 10, 11, 1_000]) await requireTold(reading, most)
    const forged = derivedId('call', Date.now() + 500 * day, Buffer.alloc(10, 9))
    const [row] = await kysely.selectFrom('llm_requests').select('id').limit(1).execute()
    await copyRequest(kysely, row?.id ?? '', { id: forged })
    for (const most of [1, 3, 11, 12, 1_000])
      await expect(requireTold(reading, most)).rejects.toThrow(untoldCall(forged))
  })
}
