import { expect, test } from 'vitest'
import { StreamedReply } from '../../src/model/stream-reply.ts'
import {
  begin,
  chatBody,
  completed,
  completion,
  completionBody,
  exchange,
  historyOf,
  user,
} from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { rowsOf } from '../harness/rows.ts'
import { pythonJson } from '../harness/spellings.ts'

const text = 'Zeile “eins”\n\t\\ "zwei" \u2028 🎉 </script> {"a":[1,2]}'
const toolCalls = [{ id: 'call_1', type: 'function', function: { name: 'look', arguments: '{"at": "π"}' } }]
const twoChoices = {
  ...completion(text),
  choices: [0, 1].map(index => ({
    index,
    message: { role: 'assistant', content: `${text} ${index}` },
    finish_reason: 'stop',
  })),
}

const replies: Record<string, string> = {
  compact: completionBody(text),
  'pretty-printed': JSON.stringify(completion(text), null, 2),
  "in Python's spacing, escaped": pythonJson(completion(text)),
  'followed by a line break': `${completionBody(text)}\n`,
  'with tool calls and no content': completionBody(null, { message: { tool_calls: toolCalls } }),
  'with tool calls and content': completionBody(text, { message: { tool_calls: toolCalls } }),
  'with two choices': JSON.stringify(twoChoices),
  'with two choices, the second first': JSON.stringify({
    ...twoChoices,
    choices: twoChoices.choices.toReversed(),
  }),
  'with empty content': completionBody(''),
  'with a refusal': completionBody(null, { message: { refusal: 'no' } }),
  'with half a surrogate pair, escaped': completionBody('x').replace('"x"', '"\\ud800x"'),
  'with escapes that need not be': completionBody('x').replace('"x"', '"\\u0078\\/"'),
  'with content named twice': completionBody('x').replace('"content":"x"', '"content":"y","content":"x"'),
  'without choices': '{"choices":[]}',
  'that is no completion': '{"error":{"message":"no"}}',
  'that is no JSON': '<html>502 Bad Gateway</html>',
  'with nothing in it': '',
  'of a megabyte': completionBody('long '.repeat(200_000)),
}

const streams: Record<string, Uint8Array> = {
  'a stream of events': Buffer.from('data: {"choices":[{"delta":{"content":"π"}}]}\n\ndata: [DONE]\n\n'),
  'a long stream': Buffer.from(
    'data: {"choices":[{"index":0,"delta":{"content":"π"}}]}\r\n\r\n'.repeat(3_000),
  ),
  'every byte value': Uint8Array.from({ length: 2_560 }, (_, index) => index % 256),
  'bytes that are no UTF-8': Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0xc0, 0x80, 0x22, 0x7d]),
  'no bytes': new Uint8Array(0),
}

/** What a provider sent comes back byte for byte, and its message is in the conversation. */
export function repliesSuite(bed: Bed): void {
  test('every reply that came as text comes back exactly', async () => {
    const stele = await (await bed.place()).stele()
    for (const [name, body] of Object.entries(replies)) {
      const call = await begin(stele, chatBody([user(name)]))
      await stele.recorder.settle(call, completed(body))
      expect((await stele.calls.exactResponse('ada', call.callId))?.toString(), name).toBe(body)
    }
  })

  test('every reply that came as bytes comes back exactly', async () => {
    const stele = await (await bed.place()).stele()
    const reply = { finishReasons: ['stop'], usage: {}, message: { content: 'π' } }
    for (const [name, body] of Object.entries(streams)) {
      const call = await begin(stele, chatBody([user(name)]))
      await stele.recorder.settle(call, completed(body, { reply, contentType: 'text/event-stream' }))
      const stored = await stele.calls.exactResponse('ada', call.callId)
      expect(stored && Buffer.compare(stored, body), name).toBe(0)
      expect(await historyOf(stele, call.conversationId), name).toEqual([
        user(name),
        { role: 'assistant', content: 'π' },
      ])
    }
  })

  test('a view into a larger buffer is stored as the view alone', async () => {
    const stele = await (await bed.place()).stele()
    const call = await begin(stele, chatBody([user('q')]))
    await stele.recorder.settle(call, completed(Buffer.from('before data: x\n\n after').subarray(7, 16)))
    expect((await stele.calls.exactResponse('ada', call.callId))?.toString()).toBe('data: x\n\n')
  })

  test('the text of a reply is stored once, not with the reply and the message both', async () => {
    const stele = await (await bed.place()).stele()
    const { settled } = await exchange(stele, [user('q')], 'long '.repeat(2_000))
    expect(await historyOf(stele, settled.conversationId)).toHaveLength(2)
    const [response] = await rowsOf(stele, 'llm_responses')
    expect(response?.body?.byteLength).toBeLessThan(500)
  })

  test('a message keeps what a client sends back: content, refusal, tool calls', async () => {
    const stele = await (await bed.place()).stele()
    const call = await begin(stele, chatBody([user('q')]))
    const message = { tool_calls: toolCalls, refusal: 'no', annotations: [], reasoning: 'hidden' }
    await stele.recorder.settle(call, completed(completionBody(null, { message })))
    expect((await historyOf(stele, call.conversationId))[1]).toEqual({
      role: 'assistant',
      content: null,
      refusal: 'no',
      tool_calls: toolCalls,
    })
  })

  test('a NUL in what a provider reports does not make its call unrecordable', async () => {
    const stele = await (await bed.place()).stele()
    const call = await begin(stele, chatBody([user('q')]))
    const body = JSON.stringify({ ...completion('a\u0000b'), model: 'm\u0000', id: '\u0000' })
    await stele.recorder.settle(call, completed(body, { errorMessage: 'odd \u0000 reply' }))
    expect(await stele.calls.get('ada', call.callId)).toMatchObject({
      responseModel: 'm\ufffd',
      errorMessage: 'odd \ufffd reply',
    })
    expect((await stele.calls.exactResponse('ada', call.callId))?.toString()).toBe(body)
    expect((await historyOf(stele, call.conversationId))[1]).toEqual({
      role: 'assistant',
      content: 'a\u0000b',
    })
  })

  test('a stream adds up to the message that the next request continues', async () => {
    const stele = await (await bed.place()).stele()
    const streamed = new StreamedReply()
    const deltas = [{ role: 'assistant', content: '' }, { content: 'Hel' }, { content: 'lo' }]
    for (const delta of deltas) streamed.add({ id: 's', model: 'm', choices: [{ index: 0, delta }] })
    streamed.add({
      choices: [{ index: 0, delta: {}, finish_reason: 'stop' }],
      usage: { prompt_tokens: 1, completion_tokens: 2 },
    })
    const call = await begin(stele, chatBody([user('q')], { stream: true }))
    await stele.recorder.settle(call, completed(Buffer.from('data: …'), { reply: streamed.reply() }))
    const next = await exchange(
      stele,
      [user('q'), { role: 'assistant', content: 'Hello' }, user('more')],
      'a',
    )
    expect(next.call.conversationId).toBe(call.conversationId)
    expect(await stele.calls.get('ada', call.callId)).toMatchObject({
      inputTokens: 1,
      outputTokens: 2,
      finishReasons: ['stop'],
    })
  })
}
