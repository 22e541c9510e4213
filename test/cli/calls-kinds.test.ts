import { describe, expect, test } from 'vitest'
import { begin, chatBody, completed, completionBody, user } from '../harness/chat.ts'
import { sqlitePlace } from '../harness/databases.ts'
import { runJson, runStele } from './run-stele.ts'

describe('stele shows', () => {
  test('a call of which nothing was kept: its facts, and that there is no more', async () => {
    const place = await sqlitePlace()
    const stele = await place.stele()
    const call = await begin(stele, chatBody([user('classified')], { store: false }))
    await stele.recorder.settle(call, completed(completionBody('secret')))
    const shown = await runStele(['calls', 'show', call.callId], { place })
    expect(shown.code).toBe(0)
    expect(shown.stdout).toMatch(/^output tokens +5 /m)
    expect(shown.stdout).toContain('(not kept)')
    expect(await runJson(['calls', 'show', call.callId], { place })).toMatchObject({
      status: 'completed',
      request: null,
      response: null,
      reply: [],
    })
    for (const part of ['--request', '--response']) {
      const { code, stdout, stderr } = await runStele(['calls', 'show', call.callId, part], { place })
      expect([code, stdout]).toEqual([1, ''])
      expect(stderr).toContain('not kept')
    }
    const conversation = await runStele(['conversations', 'show', call.conversationId], { place })
    expect(conversation.code).toBe(0)
    expect(conversation.stdout.match(/\(not kept\)/g)).toHaveLength(2)
  })

  test('a call that is no chat', async () => {
    const place = await sqlitePlace()
    const stele = await place.stele()
    const request = '{"model":"embed","input":["one","two"]}'
    const call = await stele.recorder.begin({
      userId: 'ada',
      provider: 'test',
      operation: 'embeddings',
      body: request,
    })
    const response = '{"data":[{"embedding":[0.5]}],"usage":{"prompt_tokens":2}}'
    await stele.recorder.settle(
      call,
      completed(Buffer.from(response), { reply: { finishReasons: [], usage: { inputTokens: 2 } } }),
    )
    const shown = await runStele(['calls', 'show', call.callId], { place })
    expect(shown.stdout).toMatch(/^conversation +-$/m)
    expect(shown.stdout).toMatch(/^operation +embeddings$/m)
    expect(shown.stdout).toContain('"two"')
    expect(shown.stdout).toContain('0.5')
    expect((await runStele(['calls', 'show', call.callId, '--response'], { place })).stdout).toBe(response)
    expect((await runStele(['calls', 'list'], { place })).stdout).toContain('embed')
    expect(await runJson(['conversations', 'list'], { place })).toEqual([])
  })
})
