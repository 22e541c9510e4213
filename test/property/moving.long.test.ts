import fc from 'fast-check'
import { expect, test } from 'vitest'
import { exportLines } from '../../src/moving/export.ts'
import { importLines } from '../../src/moving/import.ts'
import { openStele, type Stele } from '../../src/stele.ts'
import { begin } from '../harness/chat.ts'
import { rowsOf } from '../harness/rows.ts'
import { unevenSpelling } from '../harness/spellings.ts'
import { clients, expectWhole, play, runs, step } from './played.ts'

async function exported({ database }: Stele): Promise<string> {
  let text = ''
  await exportLines(database, async lines => {
    text += lines
  })
  return text.slice(text.indexOf('\n') + 1)
}

async function moved(source: Stele, target: Stele): Promise<void> {
  const header = '{"format":"stele-export","version":1,"created_at":1,"source":"test"}\n'
  const input = (async function* () {
    yield Buffer.from(header + (await exported(source)))
  })()
  await importLines(target.database, target.hashes, input)
}

test('however a record came about, it is the same after export and import, and goes on the same', {
  timeout: 600_000,
}, async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 20 }),
      fc.nat({ max: clients.length - 1 }),
      async (steps, client) => {
        const source = await openStele({ databaseUrl: 'sqlite::memory:' })
        const target = await openStele({ databaseUrl: 'sqlite::memory:' })
        try {
          const played = await play(source, steps)
          await moved(source, target)
          expect(await exported(target)).toBe(await exported(source))
          await expectWhole(target)
          expect(await rowsOf(target, 'usage_daily')).toEqual(await rowsOf(source, 'usage_daily'))
          for (const { call, userId, request, response } of played) {
            expect((await target.calls.exactRequest(userId, call.callId)).toString()).toBe(request)
            expect((await target.calls.exactResponse(userId, call.callId))?.toString()).toBe(response)
          }
          // What is begun from here on has other ids in each.
          const known = new Set((await rowsOf(source, 'conversations')).map(({ id }) => id))
          for (const { userId, history } of played.slice(-4)) {
            const next = [...history, { role: 'user', content: 'and after the move?' }]
            const request = (clients[client] ?? unevenSpelling)(next)
            expect(await continued(target, request, userId, known)).toEqual(
              await continued(source, request, userId, known),
            )
          }
        } finally {
          await source.close()
          await target.close()
        }
      },
    ),
    { numRuns: Math.ceil(runs / 2) },
  )
})

/** Where a request continues what is recorded, and what is stored of it. */
async function continued(
  stele: Stele,
  request: string,
  userId: string,
  known: ReadonlySet<string>,
): Promise<unknown> {
  const { callId, conversationId } = await begin(stele, request, { userId })
  expect((await stele.calls.exactRequest(userId, callId)).toString()).toBe(request)
  const conversation = await stele.conversations.get(userId, conversationId)
  const rows = (await rowsOf(stele, 'messages')).filter(row => row.call_id === callId)
  return {
    ...(known.has(conversationId)
      ? { conversationId }
      : { parent: known.has(conversation?.parentId ?? '') ? conversation?.parentId : 'another new one' }),
    seq: conversation?.parentSeq,
    stored: rows.map(({ seq }) => seq).sort(),
  }
}
