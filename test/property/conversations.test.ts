import fc from 'fast-check'
import { expect, test } from 'vitest'
import { newId } from '../../src/ids.ts'
import type { BegunCall } from '../../src/model/call.ts'
import { openStele, type Stele } from '../../src/stele.ts'
import { begin, completed, completionBody, historyOf, settle } from '../harness/chat.ts'
import { countOf } from '../harness/rows.ts'
import { spellings, unevenSpelling } from '../harness/spellings.ts'

/** Raised by hand when a search is to go deeper. */
const runs = Number(process.env['PROPERTY_RUNS'] ?? 150)

const clients = [...Object.values(spellings), unevenSpelling]

/** One step of the model: a request that says everything up to a known reply and something new, or an old one again. */
interface Step {
  /** Which known history is continued; none starts a conversation. */
  readonly from: number
  readonly says: string
  readonly userId: string
  readonly client: number
  /** How the call ends. */
  readonly ending: 'completed' | 'failed' | 'repeated'
  /** Whether the next step is sent before this one has ended. */
  readonly overlaps: boolean
}

const step: fc.Arbitrary<Step> = fc.record({
  from: fc.nat({ max: 30 }),
  says: fc.oneof(
    fc.constantFrom('hello', 'again', 'π "quoted" \\ 🎉'),
    fc.string({ unit: 'grapheme', maxLength: 12 }),
  ),
  userId: fc.constantFrom('ada', 'bob'),
  client: fc.nat({ max: clients.length - 1 }),
  ending: fc.constantFrom('completed', 'completed', 'completed', 'failed', 'repeated'),
  overlaps: fc.boolean(),
})

interface Played {
  readonly call: BegunCall
  readonly userId: string
  readonly request: string
  readonly response: string
  readonly history: Record<string, unknown>[]
  conversationId: string
}

test('however conversations branch, interleave and are spelled, every byte and every history is kept', {
  timeout: 600_000,
}, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), async steps => {
      const stele = await openStele({ databaseUrl: 'sqlite::memory:' })
      try {
        const played = await play(stele, steps)
        for (const { call, userId, request, response, history, conversationId } of played) {
          expect((await stele.calls.exactRequest(userId, call.callId)).toString()).toBe(request)
          expect((await stele.calls.exactResponse(userId, call.callId))?.toString()).toBe(response)
          const said = await historyOf(stele, conversationId, userId)
          expect(said.slice(0, history.length).map(meaning)).toEqual(history.map(meaning))
        }
        await expectWhole(stele)
      } finally {
        await stele.close()
      }
    }),
    { numRuns: runs },
  )
})

test('a linear history of any length in any steady spelling is stored once', {
  timeout: 600_000,
}, async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ unit: 'grapheme', maxLength: 20 }), { minLength: 1, maxLength: 15 }),
      fc.nat({ max: Object.keys(spellings).length - 1 }),
      async (questions, client) => {
        const stele = await openStele({ databaseUrl: 'sqlite::memory:' })
        try {
          const history: Record<string, unknown>[] = []
          for (const [turn, question] of questions.entries()) {
            history.push({ role: 'user', content: question })
            const call = await begin(stele, clients[client]?.(history) ?? '')
            await stele.recorder.settle(call, completed(completionBody(`${turn} ${question}`)))
            history.push({ role: 'assistant', content: `${turn} ${question}` })
          }
          expect(await countOf(stele, 'messages')).toBe(history.length)
          expect(await countOf(stele, 'conversations')).toBe(1)
        } finally {
          await stele.close()
        }
      },
    ),
    { numRuns: Math.ceil(runs / 4) },
  )
})

async function play(stele: Stele, steps: readonly Step[]): Promise<Played[]> {
  const played: Played[] = []
  let underWay: Promise<unknown>[] = []
  for (const [index, { from, says, userId, client, ending, overlaps }] of steps.entries()) {
    const known = played.filter(one => one.userId === userId)
    const base = known[from % (known.length + 1)]
    const history = [
      ...(base?.history ?? [{ role: 'system', content: 'be brief' }]),
      { role: 'user', content: says },
    ]
    const request = (clients[client] ?? unevenSpelling)(history)
    const callId = newId('call')
    const reply = `reply ${index} to ${says}`
    const response = ending === 'failed' ? '{"error":{}}' : completionBody(reply)
    const outcome = ending === 'failed' ? { status: 'failed' as const, body: response } : completed(response)
    const run = async (): Promise<void> => {
      const call = await begin(stele, request, { userId, callId })
      if (ending === 'repeated')
        expect(await begin(stele, request, { userId, callId })).toMatchObject({
          conversationId: call.conversationId,
        })
      const { conversationId } = await settle(stele, call, outcome)
      if (ending === 'repeated')
        expect(await stele.recorder.settle(call, outcome)).toMatchObject({ conversationId, isRepeat: true })
      const said = ending === 'failed' ? history : [...history, { role: 'assistant', content: reply }]
      // A failed call's history is not continued: its question stands without an answer.
      played.push({ call, userId, request, response, history: said, conversationId })
    }
    underWay.push(run())
    if (!overlaps) {
      await Promise.all(underWay)
      underWay = []
    }
  }
  await Promise.all(underWay)
  return played
}

/** Sequence numbers without gaps, and usage that counts every call once. */
async function expectWhole(stele: Stele): Promise<void> {
  for (const { id, userId, nextSeq } of await stele.conversations.list({ limit: 1_000 })) {
    const history = await stele.conversations.history(userId, id, nextSeq)
    expect(history.map(row => row.seq)).toEqual(Array.from({ length: nextSeq }, (_, seq) => seq))
  }
  const usage = await stele.database.kysely.selectFrom('usage_daily').select('calls').execute()
  expect(usage.reduce((sum, row) => sum + row.calls, 0)).toBe(await countOf(stele, 'llm_requests'))
}

/** What a message says, however it is written: a lone text part is its string, a member that is null is absent. */
function meaning(message: Record<string, unknown>): unknown {
  const { role, content } = message
  const part = Array.isArray(content) && content.length === 1 ? (content[0] as { text?: string }) : undefined
  return { role, content: part?.text ?? content }
}
