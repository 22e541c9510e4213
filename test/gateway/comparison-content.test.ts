import { expect, test } from 'vitest'
import { assistant, historyOf, user } from '../harness/chat.ts'
import { countOf } from '../harness/rows.ts'
import { byName, choose, compare, eventsIn, question, type ToldComparison, told } from './comparing.ts'
import { before, everythingStored, expectNone, inLogs, start } from './masking-start.ts'
import { placeholder, secrets } from './masking-upstream.ts'
import { errorOf, type Running, startGateway } from './running.ts'
import { startUpstream } from './upstream.ts'

/** What is kept of a comparison where it is not what was said. */

const sentence = `Write to ${secrets.mail} or ${secrets.phone}.`
const asked = { messages: [user(sentence)] }

/** Says something more after a reply was taken. Returns where that is. */
async function goOn(running: Running, id: string, said: readonly unknown[]): Promise<unknown> {
  const messages = [...said, user('Go on')]
  const reply = await running.post({ model: 'one', messages }, { 'x-stele-conversation': id })
  expect(reply.status, reply.text).toBe(200)
  return reply.headers['x-stele-conversation']
}

async function take(running: Running, { id, replies }: ToldComparison, message?: object) {
  const reply = await choose(running, id, { call_id: replies[1]?.call_id, message })
  expect(reply.status, reply.text).toBe(200)
  return (JSON.parse(reply.text) as { conversation_id: string }).conversation_id
}

test.each([{ ...inLogs }, { ...inLogs, ...before }, { ...before }])(
  'what is masked stays so, the client gets everything, and goes on with what it got: %o',
  async config => {
    const { running, upstream } = await start(config)
    const reply = await compare(running, question({ ...asked, stream: true }))
    const { id, replies } = told(reply)
    const text = eventsIn(reply.text)
      .filter(({ index }) => index === 1)
      .map(({ chunk }) => (chunk as { choices: { delta: { content?: string } }[] }).choices[0]?.delta.content)
      .join('')
    expect(text).toBe(sentence)
    if ('maskPiiBeforeLlm' in config) for (const { text } of upstream.journal) expectNone(text)
    const conversation = await take(running, { id, replies } as ToldComparison, assistant(text))
    expect(await goOn(running, conversation, [user(sentence), assistant(text)])).toBe(conversation)
    expect(await countOf(running.stele, 'conversations')).toBe(1)
    expectNone(running.log())
    if (!('maskPiiInLogs' in config)) return
    const stored = await everythingStored(running)
    expectNone(stored)
    expect(stored).toMatch(placeholder)
  },
)

test('of what is not to be kept nothing is, and it is gone on from all the same', async () => {
  const running = await startGateway({ upstream: await startUpstream(byName) })
  const comparison = told(await compare(running, question({ store: false })))
  const refused = await choose(running, comparison.id, { call_id: comparison.id })
  expect([refused.status, errorOf(refused)]).toMatchObject([400, { param: 'message' }])
  const conversation = await take(running, comparison, assistant('I am two'))
  expect(await goOn(running, conversation, [user('Who?'), assistant('I am two')])).toBe(conversation)
  for (const { call_id: callId } of comparison.replies)
    await expect(running.stele.calls.exactResponse('ada', callId)).rejects.toMatchObject({
      code: 'content_not_kept',
    })
})

test('of content that is kept as digests a choice is made too', async () => {
  const store = { contentMode: 'hashed' } as const
  const running = await startGateway({ upstream: await startUpstream(byName), store })
  const conversation = await take(running, told(await compare(running)), assistant('I am two'))
  expect(await goOn(running, conversation, [user('Who?'), assistant('I am two')])).toBe(conversation)
})

test('a service compares and chooses for the user that it names, and for that one alone', async () => {
  const running = await startGateway({ upstream: await startUpstream(byName) })
  const service = { ...running, key: await running.newKey('app', 'service') }
  const comparison = told(await compare(service, question({ user: 'zoë' })))
  expect((await choose(service, comparison.id, { call_id: comparison.id })).status).toBe(404)
  const taken = { call_id: comparison.id, user: 'zoë' }
  const { conversation_id: id } = JSON.parse((await choose(service, comparison.id, taken)).text)
  expect(await historyOf(running.stele, id, 'zoë')).toEqual([user('Who?'), assistant('I am one')])
})
