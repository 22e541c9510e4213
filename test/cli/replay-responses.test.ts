import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startGateway } from '../gateway/running.ts'
import { type Answer, json, startUpstream, stream } from '../gateway/upstream.ts'
import { answerEvents } from '../gateway/wire.ts'
import { completion } from '../harness/chat.ts'
import { sqlitePlace, temporaryFolder } from '../harness/databases.ts'
import { countOf } from '../harness/rows.ts'
import { runStele } from './run-stele.ts'

const response = (text: string, status = 'completed') => ({
  id: 'resp_theirs',
  object: 'response',
  created_at: 1_760_000_000,
  status,
  model: 'm-2026',
  output: [
    {
      id: 'msg_1',
      type: 'message',
      role: 'assistant',
      content: [{ type: 'output_text', text, annotations: [] }],
    },
    { id: 'fc_1', type: 'function_call', call_id: 'c1', name: 'weather', arguments: '{"city":"Ulm"}' },
  ],
  usage: { input_tokens: 10, output_tokens: 5, total_tokens: 15 },
})

const events = (text: string): Buffer[] =>
  [
    { type: 'response.created', response: { ...response('', 'in_progress'), output: [] } },
    { type: 'response.completed', response: response(text) },
  ].map(event => Buffer.from(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`))

/** A response that was made, and a way to make its call again. */
async function recorded(
  answer: Answer,
  { responses, ...body }: { responses: boolean; [name: string]: unknown },
) {
  const upstream = await startUpstream(answer)
  const place = await sqlitePlace()
  const provider = { responses }
  const gateway = await startGateway({ place, upstream, provider })
  const post = (more: object) =>
    gateway.send('POST', '/v1/responses', {
      headers: { authorization: `Bearer ${gateway.key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'm', input: 'Hi', instructions: 'Be brief.', ...body, ...more }),
    })
  const reply = await post({})
  expect(reply.status, reply.text).toBe(200)
  const id = String(reply.headers['x-stele-call-id'])
  const path = join(await temporaryFolder(), 'stele.config.json')
  const at = { baseUrl: upstream.baseUrl, retries: 0 }
  const providers = { test: { ...at, responses }, chatting: { ...at, responses: false } }
  await writeFile(path, JSON.stringify({ providers }))
  return {
    ...gateway,
    id,
    upstream,
    post,
    replay: (next: Answer, call = id, ...more: string[]) => {
      upstream.answer(next)
      return runStele(['calls', 'replay', call, ...more], { place, env: { STELE_CONFIG: path } })
    },
  }
}

test.each([{ responses: true }, { responses: false }])(
  'a call that a response was made by: %o',
  async ({ responses }) => {
    const said = (text: string) => json(responses ? response(text) : completion(text))
    const { replay, stele, id, upstream, post } = await recorded(said('Hello there'), { responses })
    const first = JSON.parse((await post({ input: 'And?' })).text) as { id: string }
    const next = await post({ input: 'So?', previous_response_id: first.id })
    const later = String(next.headers['x-stele-call-id'])
    const before = await stele.conversations.list({ userId: 'ada' })
    const messages = await countOf(stele, 'messages')
    const kept = await countOf(stele, 'responses')
    for (const call of [id, later]) {
      const sent = upstream.journal.length
      const same = await replay(said('Hello there'), call)
      expect({ code: same.code, stderr: same.stderr }, same.stdout).toEqual({
        code: 0,
        stderr: 'The replies say the same.\n',
      })
      const again = upstream.journal[sent]
      const original = upstream.journal.slice(0, 3).find(({ text }) => text === again?.text)
      expect(original?.path).toBe(again?.path)
      const group = await stele.calls.group('ada', call)
      expect(group.map(({ routeMode }) => routeMode)).toEqual([undefined, 'replay'])
      expect(new Set(group.map(({ operation }) => operation)).size).toBe(1)
      const { conversationId } = (await stele.calls.get('ada', call)) ?? {}
      expect(group.map(one => one.conversationId)).toEqual([conversationId, conversationId])
    }
    expect(await stele.conversations.list({ userId: 'ada' })).toEqual(before)
    expect([await countOf(stele, 'messages'), await countOf(stele, 'responses')]).toEqual([messages, kept])
    // What was asked again goes with what was asked first.
    const [, again] = await stele.calls.group('ada', later)
    expect((await stele.calls.exactRequest('ada', again?.id ?? '')).toString()).toContain('So?')
    for (const { id: conversation } of before) await stele.conversations.purge('ada', conversation)
    await expect(stele.calls.exactRequest('ada', again?.id ?? '')).rejects.toMatchObject({
      code: 'content_not_kept',
    })
  },
)

test('a streamed one is asked for as a stream and compared by what it says, calls of tools too', async () => {
  const { replay, id, upstream } = await recorded(stream(events('Hello')), { responses: true, stream: true })
  expect((await replay(stream(events('Hello')))).code).toBe(0)
  expect(JSON.parse(upstream.journal[1]?.text ?? '')).toMatchObject({ stream: true, store: false })
  const other = await replay(
    stream(events('Hello').map(event => Buffer.from(event.toString().replace('Ulm', 'Bonn')))),
  )
  expect([other.code, other.stdout]).toEqual([1, expect.stringContaining('Bonn')])
  expect((await replay(json(answerEvents), id, '--provider', 'chatting')).stderr).toContain('does not speak')
})
