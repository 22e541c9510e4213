import fc from 'fast-check'
import { expect } from 'vitest'
import { newId } from '../../src/ids.ts'
import type { BegunCall } from '../../src/model/call.ts'
import type { Stele } from '../../src/stele.ts'
import { begin, completed, completionBody, settle } from '../harness/chat.ts'
import { countOf } from '../harness/rows.ts'
import { spellings, unevenSpelling } from '../harness/spellings.ts'

/** Raised by hand when a search is to go deeper. */
export const runs = Number(process.env['PROPERTY_RUNS'] ?? 150)

export const clients = [...Object.values(spellings), unevenSpelling]

/** One step of the model: a request that says everything up to a known reply and something new, or an old one again. */
export interface Step {
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

export const step: fc.Arbitrary<Step> = fc.record({
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

export interface Played {
  readonly call: BegunCall
  readonly userId: string
  readonly request: string
  readonly response: string
  readonly history: Record<string, unknown>[]
  conversationId: string
}

/** Makes the calls of these steps, those that overlap at once. */
export async function play(stele: Stele, steps: readonly Step[]): Promise<Played[]> {
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
export async function expectWhole(stele: Stele): Promise<void> {
  for (const { id, userId, nextSeq } of await stele.conversations.list({ limit: 1_000 })) {
    const history = await stele.conversations.history(userId, id, nextSeq)
    expect(history.map(row => row.seq)).toEqual(Array.from({ length: nextSeq }, (_, seq) => seq))
  }
  const usage = await stele.database.kysely.selectFrom('usage_daily').select('calls').execute()
  expect(usage.reduce((sum, row) => sum + row.calls, 0)).toBe(await countOf(stele, 'llm_requests'))
}
