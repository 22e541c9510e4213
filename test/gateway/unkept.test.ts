import { describe, expect, test } from 'vitest'
import { completion } from '../harness/chat.ts'
import { rowsOf } from '../harness/rows.ts'
import { errorOf, startGateway } from './running.ts'
import { json, startUpstream, stream } from './upstream.ts'
import { chunk, done, openAiError, questionOf } from './wire.ts'

describe('store: false', () => {
  test('is answered, and nothing of it is kept, in no row and no log', async () => {
    const secret = 'classified'
    const upstream = await startUpstream(
      json(completion(`${secret}!`)),
      stream([chunk({ content: secret }), chunk({}, { finish: 'stop' }), done]),
      json(openAiError(`${secret} is not allowed`), { status: 400 }),
      stream([`data: ${secret} is no JSON\n\n`]),
    )
    const running = await startGateway({ upstream })
    const ask = (parameters = {}) => running.post(questionOf(`${secret}?`, { store: false, ...parameters }))
    const replies = [await ask(), await ask({ stream: true }), await ask(), await ask({ stream: true })]
    expect(replies.map(({ status, text }) => [status, text.includes(secret)])).toEqual([
      [200, true],
      [200, true],
      [400, true],
      [502, false],
    ])
    expect(upstream.journal[0]?.text).toContain(secret)
    for (const table of [
      'messages',
      'llm_requests',
      'llm_responses',
      'conversations',
      'audit_events',
    ] as const) {
      const rows = await rowsOf(running.stele, table)
      expect(rows.length, table).toBeGreaterThan(0)
      for (const value of rows.flatMap((row): unknown[] => Object.values(row)))
        expect(
          value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : String(value),
        ).not.toContain(secret)
    }
    expect(running.log()).not.toContain(secret)
    const calls = await running.stele.calls.list()
    expect(calls.map(({ status, outputTokens }) => [status, outputTokens])).toEqual([
      ['failed', undefined],
      ['failed', undefined],
      // A stream that says nothing of usage: what it took is estimated, and that is a number.
      ['completed', expect.any(Number)],
      ['completed', 5],
    ])
  })

  test('repeated with its idempotency key it makes no other call, and there is no reply to give again', async () => {
    const upstream = await startUpstream(json(completion('once')))
    const running = await startGateway({ upstream })
    const ask = () => running.post(questionOf('Hi', { store: false }), { 'idempotency-key': 'k' })
    expect((await ask()).status).toBe(200)
    const again = await ask()
    expect(again.status).toBe(410)
    expect(errorOf(again).code).toBe('content_not_kept')
    expect(upstream.journal).toHaveLength(1)
  })
})
