import fc from 'fast-check'
import { expect } from 'vitest'
import { SteleError } from '../../src/errors.ts'
import { newId } from '../../src/ids.ts'
import type { PlacedCall } from '../../src/model/call.ts'
import { encodeContent } from '../../src/privacy/content.ts'
import type { RetentionDefaults } from '../../src/retention/periods.ts'
import type { Stele } from '../../src/stele.ts'
import { begin, completed, completionBody, settle } from '../harness/chat.ts'
import { inBatch, rowsOf } from '../harness/rows.ts'
import { spellings, unevenSpelling } from '../harness/spellings.ts'
import { expectedAfter, tablesOf, watched, withoutDeadHashes } from './retention-model.ts'

const day = 86_400_000
const start = Date.UTC(2026, 0, 1)
const clients = [...Object.values(spellings), unevenSpelling]
const users = ['ada', 'bob', 'cyd'] as const

/** Something that happens some days after what happened before. */
export type Event = { readonly days: number } & (
  | {
      readonly kind: 'call'
      readonly user: number
      /** Which earlier call it goes on from; none begins anew. */
      readonly from: number
      readonly says: string
      readonly client: number
      readonly ending: 'completed' | 'failed' | 'open'
      readonly key: boolean
    }
  | { readonly kind: 'settle' }
  | {
      readonly kind: 'policy'
      readonly user: number
      readonly content?: number
      readonly metadata?: number
      readonly inactive?: number
    }
  | { readonly kind: 'unset'; readonly user: number }
  | { readonly kind: 'delete' | 'title' | 'snapshot'; readonly which: number }
  | { readonly kind: 'run' }
)

const user = fc.nat({ max: users.length - 1 })
const days = fc.nat({ max: 12 })
const period = fc.option(fc.constantFrom(0, 1, 5, 10, 20, 40), { nil: undefined })

const event: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      kind: fc.constant('call' as const),
      days,
      user,
      from: fc.nat({ max: 20 }),
      says: fc.constantFrom('hello', 'again', 'π "quoted" \\ 🎉', 'more'),
      client: fc.nat({ max: clients.length - 1 }),
      ending: fc.constantFrom('completed', 'completed', 'completed', 'completed', 'failed', 'open'),
      key: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('settle' as const), days }) },
  {
    weight: 1,
    arbitrary: fc.record(
      {
        kind: fc.constant('policy' as const),
        days,
        user,
        content: period,
        metadata: period,
        inactive: period,
      },
      { requiredKeys: ['kind', 'days', 'user'] },
    ) as fc.Arbitrary<Event>,
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('unset' as const), days, user }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom('delete' as const, 'title' as const, 'snapshot' as const),
      days,
      which: fc.nat({ max: 50 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('run' as const), days }) },
)

export const story = fc.record({
  defaults: fc
    .record({
      contentDays: fc.option(fc.constantFrom(1, 10, 30), { nil: undefined }),
      metadataDays: fc.option(fc.constantFrom(30, 60), { nil: undefined }),
      inactiveDays: fc.option(fc.constantFrom(5, 20), { nil: undefined }),
      deletedDays: fc.option(fc.constantFrom(1, 10), { nil: undefined }),
    })
    .map((defaults): RetentionDefaults => defaults),
  events: fc.array(event, { minLength: 5, maxLength: 40 }),
})

interface Told {
  readonly call: PlacedCall
  readonly user: string
  readonly request: string
  readonly response: string | undefined
  readonly history: Record<string, unknown>[]
  /** No run has come since. */
  isFresh: boolean
}

/** Plays a story, and holds every run and what is left by it against the model. */
export async function playStory(
  stele: Stele,
  defaults: RetentionDefaults,
  events: readonly Event[],
): Promise<void> {
  const told: Told[] = []
  const open: { call: PlacedCall; user: string }[] = []
  let now = start
  let serial = 0
  for (const happening of events) {
    now += happening.days * day + 1_000
    switch (happening.kind) {
      case 'call': {
        const { from, says, client, ending, key } = happening
        const userId = users[happening.user] ?? 'ada'
        const known = told.filter(one => one.user === userId)
        const base = known[from % (known.length + 1)]
        const history = [
          ...(base?.history ?? [{ role: 'system', content: 'be brief' }]),
          { role: 'user', content: says },
        ]
        const request = (clients[client] ?? unevenSpelling)(history)
        const claim = { keyHash: `key ${serial++}`, requestHash: 'r', expiresAt: now + 400 * day }
        const call = await begin(stele, request, { userId, createdAt: now, ...(key ? { claim } : {}) })
        if (ending === 'open') {
          open.push({ call, user: userId })
          break
        }
        const reply = `answer ${serial}`
        const response = ending === 'completed' ? completionBody(reply) : undefined
        await settle(
          stele,
          call,
          response === undefined
            ? { status: 'failed', errorCode: 'x', errorMessage: 'it said hello', createdAt: now + 5 }
            : completed(response, { createdAt: now + 5 }),
        )
        if (response !== undefined) history.push({ role: 'assistant', content: reply })
        told.push({ call, user: userId, request, response, history, isFresh: true })
        break
      }
      case 'settle': {
        const ended = open.shift()
        if (ended !== undefined)
          await settle(stele, ended.call, completed(completionBody('late'), { createdAt: now }))
        break
      }
      case 'policy': {
        const { content, metadata, inactive } = happening
        const periods = { contentDays: content, metadataDays: metadata, inactiveDays: inactive }
        await stele.retention.set(users[happening.user] ?? 'ada', periods, now).catch(error => {
          expect(error).toMatchObject({ code: 'retention_invalid' })
        })
        break
      }
      case 'unset':
        await stele.retention.unset(users[happening.user] ?? 'ada', now)
        break
      case 'run':
        await runAndCheck(stele, defaults, now, told)
        break
      default:
        await changeOne(stele, happening.kind, happening.which, now)
    }
  }
  await runAndCheck(stele, defaults, now + day, told)
}

async function changeOne(
  stele: Stele,
  kind: 'delete' | 'title' | 'snapshot',
  which: number,
  now: number,
): Promise<void> {
  const conversations = await rowsOf(stele, 'conversations')
  const one = conversations[which % Math.max(1, conversations.length)]
  if (one === undefined) return
  if (kind === 'snapshot') {
    const row = {
      user_id: one.user_id,
      id: newId('snapshot'),
      conversation_id: one.id,
      up_to_seq: 0,
      content: encodeContent('what was said so far'),
      created_at: now,
    }
    return inBatch(stele, batch => batch.insert('context_snapshots', [row]))
  }
  const set =
    kind === 'delete'
      ? { deleted_at: now, title: one.title }
      : { deleted_at: one.deleted_at, title: 'About π' }
  await inBatch(stele, batch =>
    batch.update('conversations', ['deleted_at', 'title'], ['id', 'user_id'], [{ set, match: one }]),
  )
}

async function runAndCheck(
  stele: Stele,
  defaults: RetentionDefaults,
  now: number,
  told: readonly Told[],
): Promise<void> {
  // What has come since the last run relies on nothing that was gone then.
  for (const one of told) if (one.isFresh) expect(await readBack(stele, one)).toBe('whole')
  const before = await tablesOf(stele)
  const policies = await rowsOf(stele, 'retention_policies')
  const expected = expectedAfter(before, policies, defaults, now)
  const preview = await stele.retention.run({ dryRun: true, now })
  expect(preview.expired).toEqual(expected.tallies)
  expect(await tablesOf(stele)).toEqual(before)
  const report = await stele.retention.run({ now })
  expect(report.expired).toEqual(expected.tallies)
  const after = withoutDeadHashes(await tablesOf(stele), before)
  for (const table of watched) expect(after[table], table).toEqual(expected.tables[table])
  expect((await stele.retention.run({ now })).expired.filter(({ reason }) => reason !== 'inactive')).toEqual(
    [],
  )
  for (const one of told) {
    await readBack(stele, one)
    one.isFresh = false
  }
  // Whatever is gone, the log tells why.
  await stele.auditLog.sequence()
  expect((await stele.audit.verify({ contents: true })).fault).toBeUndefined()
}

/** Whatever is left of a call is what was sent and what came, to the byte; what is not says so. */
async function readBack(stele: Stele, { call, user, request, response }: Told): Promise<'whole' | 'partly'> {
  const read = (value: Promise<Buffer | undefined>): Promise<string | undefined> =>
    value.then(
      bytes => bytes?.toString('utf8') ?? 'none',
      error => {
        if (!(error instanceof SteleError)) throw error
        expect(['content_not_kept', 'call_not_found']).toContain(error.code)
        return undefined
      },
    )
  const sent = await read(stele.calls.exactRequest(user, call.callId))
  const came = await read(stele.calls.exactResponse(user, call.callId))
  if (sent !== undefined) expect(sent).toBe(request)
  if (came !== undefined) expect(came).toBe(response ?? 'none')
  return sent === undefined || came === undefined ? 'partly' : 'whole'
}
