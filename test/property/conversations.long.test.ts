import fc from 'fast-check'
import { expect, test } from 'vitest'
import { openStele } from '../../src/stele.ts'
import { begin, completed, completionBody, historyOf } from '../harness/chat.ts'
import { countOf } from '../harness/rows.ts'
import { spellings } from '../harness/spellings.ts'
import { clients, expectWhole, play, runs, step } from './played.ts'

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

/** What a message says, however it is written: a lone text part is its string, a member that is null is absent. */
function meaning(message: Record<string, unknown>): unknown {
  const { role, content } = message
  const part = Array.isArray(content) && content.length === 1 ? (content[0] as { text?: string }) : undefined
  return { role, content: part?.text ?? content }
}
