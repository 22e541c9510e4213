import { expect, test } from 'vitest'
import { assistant, begin, chatBody, completed, exchange, user } from '../harness/chat.ts'
import { describeEachDatabase } from '../harness/databases.ts'
import { runJson, runStele } from './run-stele.ts'

/** Spelled as no serializer would, so that reading and writing it again would show. */
const oddRequest = `{ "model":"m" ,"messages" : [ {"role":"user","content":"caf\\u00e9 \u{1f30d} 1"} ],\n "seed": 12345678901234567890, "x":1.0 }\n`
const oddReply = `{"id":"r1","choices":[{"index":0,"message":{"role":"assistant","content":"\u00fc\\u00fc \\/ ok"},"finish_reason":"stop"}],\r\n "usage":{"prompt_tokens":3,"completion_tokens":2},"big":1e400}`

function streamOf(pieces: readonly object[]): Buffer {
  return Buffer.from(`${pieces.map(piece => `data: ${JSON.stringify(piece)}\n\n`).join('')}data: [DONE]\n\n`)
}

const delta = (index: number, content: string) => ({
  choices: [{ index, delta: { content }, finish_reason: null }],
})

describeEachDatabase('stele calls', bed => {
  test('show writes the exact bytes of request and reply, and nothing else', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const call = await begin(stele, oddRequest)
    await stele.recorder.settle(call, completed(oddReply))
    const request = await runStele(['calls', 'show', call.callId, '--request'], { place })
    expect(request).toMatchObject({ code: 0, stderr: '' })
    expect(request.bytes.equals(Buffer.from(oddRequest))).toBe(true)
    const reply = await runStele(['calls', 'show', call.callId, '--response'], { place })
    expect(reply).toMatchObject({ code: 0, stderr: '' })
    expect(reply.bytes.equals(Buffer.from(oddReply))).toBe(true)
  })

  test('show writes a reply that is not text as it came', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const call = await begin(stele, chatBody([user('hi')]))
    const body = Buffer.from([0, 255, 254, 13, 10, 27])
    await stele.recorder.settle(call, {
      status: 'failed',
      httpStatus: 502,
      contentType: 'text/html',
      body,
      errorCode: 'provider_error',
    })
    const { bytes } = await runStele(['calls', 'show', call.callId, '--response'], { place })
    expect(bytes.equals(body)).toBe(true)
    const { stdout } = await runStele(['calls', 'show', call.callId], { place })
    expect(stdout).toMatch(/^status +failed 502$/m)
    expect(stdout).toContain('\\x1b')
  })

  test('show prints facts, what was asked and what was answered', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const toolCall = { id: 't1', type: 'function', function: { name: 'add', arguments: '{"a":1}' } }
    const image = { type: 'image_url', image_url: { url: `data:image/png;base64,${'A'.repeat(5_000)}` } }
    const messages = [
      user([{ type: 'text', text: 'first\nsecond' }, image]),
      assistant(null, { tool_calls: [toolCall] }),
      { role: 'tool', tool_call_id: 't1', content: '2' },
    ]
    const { call } = await exchange(stele, chatBody(messages, { temperature: 0.5 }), 'the sum is 2')
    const { code, stdout } = await runStele(['calls', 'show', call.callId], { place })
    expect(code).toBe(0)
    expect(stdout).toMatch(new RegExp(`^call +${call.callId}$`, 'm'))
    expect(stdout).toMatch(/^user +ada$/m)
    expect(stdout).toMatch(/^cost +-$/m)
    expect(stdout).toContain('"temperature": 0.5')
    expect(stdout).toContain('── 0 user ──\nfirst\nsecond\n[image_url] ')
    expect(stdout).toContain('[tool call] add({"a":1})')
    expect(stdout).toContain('── 2 tool (t1) ──\n2\n')
    expect(stdout).toContain('── reply: assistant ──\nthe sum is 2\n')
    expect(stdout.length).toBeLessThan(3_000)
  })

  test('show puts the text of a stream together, every choice of it', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const body = streamOf([delta(0, 'Hel'), delta(1, 'Good'), delta(0, 'lo'), delta(1, 'bye')])
    const call = await begin(stele, chatBody([user('hi')], { stream: true, n: 2 }))
    await stele.recorder.settle(call, completed(body, { contentType: 'text/event-stream; charset=utf-8' }))
    const { stdout } = await runStele(['calls', 'show', call.callId], { place })
    expect(stdout).toContain('── reply 0: assistant ──\nHello\n')
    expect(stdout).toContain('── reply 1: assistant ──\nGoodbye\n')
    const shown = await runJson(['calls', 'show', call.callId], { place })
    expect(shown).toMatchObject({
      id: call.callId,
      status: 'completed',
      created_at: expect.stringMatching(/Z$/),
      request: { stream: true },
      response: body.toString(),
      reply: [{ role: 'assistant', content: 'Hello' }, { content: 'Goodbye' }],
    })
    const exact = await runStele(['calls', 'show', call.callId, '--response'], { place })
    expect(exact.bytes.equals(body)).toBe(true)
  })

  test('show tells of calls without a reply, and of calls there are not', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const pending = await begin(stele, chatBody([user('hi')]))
    const { callId } = await stele.saveInteraction({
      userId: 'ada',
      model: 'm',
      messages: [user('a')],
      responseText: 'b',
    })
    const waiting = await runStele(['calls', 'show', pending.callId, '--response'], { place })
    expect(waiting).toMatchObject({
      code: 1,
      stdout: '',
      stderr: `stele: The call ${pending.callId} has no reply yet.\n`,
    })
    expect((await runStele(['calls', 'show', pending.callId], { place })).stdout).toMatch(
      /^status +pending$/m,
    )
    const saved = await runStele(['calls', 'show', callId, '--response'], { place })
    expect(saved.stderr).toContain('without the bytes of a reply')
    expect((await runStele(['calls', 'show', callId], { place })).stdout).toContain(
      '── reply: assistant ──\nb\n',
    )
    const unknown = await runStele(['calls', 'show', callId, '--user', 'bob'], { place })
    expect(unknown).toMatchObject({
      code: 1,
      stdout: '',
      stderr: `stele: There is no call '${callId}' of 'bob'.\n`,
    })
    expect(await runStele(['calls', 'show', 'call_x'], { place })).toMatchObject({
      code: 1,
      stderr: "stele: There is no call 'call_x'.\n",
    })
  })

  test('list pages through the calls, newest first', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const ids: string[] = []
    for (const userId of ['ada', 'ada', 'bob'])
      ids.push((await exchange(stele, [user(`of ${userId}`)], 'x', { userId })).call.callId)
    const table = await runStele(['calls', 'list'], { place })
    expect(table.stdout).toMatch(/^ID +TIME +STATUS +USER +MODEL +IN +OUT +COST +MS\n/)
    expect(
      table.stdout
        .split('\n')
        .slice(1, 4)
        .map(line => line.slice(0, 31)),
    ).toEqual(ids.toReversed())
    expect(table.stdout).toMatch(/completed +ada +test-model-2026 +10 +5 +- +-\n/)
    const page = await runStele(['calls', 'list', '--user', 'ada', '--limit', '1'], { place })
    expect(page.stdout).toContain(ids[1])
    expect(page.stderr).toBe(`There may be more: --before ${ids[1]}\n`)
    const rest = await runJson<{ id: string }[]>(
      ['calls', 'list', '--user', 'ada', '--before', ids[1] ?? ''],
      { place },
    )
    expect(rest).toEqual([
      expect.objectContaining({
        id: ids[0],
        user_id: 'ada',
        status: 'completed',
        input_tokens: 10,
        cost_nanousd: null,
      }),
    ])
  })

  test('an empty record is an empty list, told on stderr', async () => {
    const place = await bed.place()
    await place.stele()
    expect(await runStele(['calls', 'list'], { place })).toMatchObject({
      code: 0,
      stdout: '',
      stderr: 'No calls.\n',
    })
    expect(await runJson(['calls', 'list'], { place })).toEqual([])
  })
})
