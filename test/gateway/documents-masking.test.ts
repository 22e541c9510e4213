import { expect, test } from 'vitest'
import { planType, replyOf } from '../harness/documents.ts'
import { rowsOf } from '../harness/rows.ts'
import { fieldsOf, withDocuments } from './documenting.ts'
import { type Answer, json } from './upstream.ts'

const email = 'ada@example.com'
const input = { name: 'Ada', goal: `Write to ${email}, once`, extra: { [`of ${email}`]: [email] } }
const type = planType({
  prompt: { user: '{{.}}' },
  inputSchema: { type: 'object' },
  outputSchema: { type: 'object' },
})

/** Says again what it was told, in the document. */
const parrot: Answer = (reply, request) => {
  const { messages } = JSON.parse(request.text) as { messages: { content: string }[] }
  return json(replyOf({ said: messages.at(-1)?.content }))(reply, request)
}

async function stored({ stele }: Awaited<ReturnType<typeof withDocuments>>): Promise<string> {
  const calls = await stele.calls.list()
  const texts = await Promise.all(
    calls.flatMap(({ userId, id }) => [
      stele.calls.exactRequest(userId, id),
      stele.calls.exactResponse(userId, id),
    ]),
  )
  const rows = await rowsOf(stele, 'documents')
  const columns = rows.flatMap(row => [row.input, row.output, row.error_message])
  return [...texts, ...columns].map(value => Buffer.from(value ?? '').toString()).join('\n')
}

test('before a provider: it gets placeholders, the client and the record get the words', async () => {
  const gateway = await withDocuments([parrot], { type, config: { maskPiiBeforeLlm: true } })
  const document = fieldsOf(await gateway.generate({ input }))
  expect(document).toMatchObject({ status: 'completed', output: { said: expect.stringContaining(email) } })
  expect(gateway.upstream.journal[0]?.text).not.toContain(email)
  expect(await gateway.stele.documents.get('ada', String(document['id']))).toMatchObject({
    input: JSON.stringify(input),
    output: expect.stringContaining(email),
  })
})

test('in storage: the client gets the words, and no row and no call has them', async () => {
  const gateway = await withDocuments([parrot], { type, config: { maskPiiInLogs: true } })
  const document = fieldsOf(await gateway.generate({ input }))
  expect(document).toMatchObject({ input, output: { said: expect.stringContaining(email) } })
  expect(gateway.upstream.journal[0]?.text).toContain(email)
  const text = await stored(gateway)
  expect(text).toContain('[EMAIL_1]')
  expect(text).not.toContain(email)
  const kept = fieldsOf(await gateway.ask('GET', `/v1/documents/${document['id']}`))
  expect(kept['input']).toEqual({
    name: 'Ada',
    goal: 'Write to [EMAIL_1], once',
    extra: { 'of [EMAIL_1]': ['[EMAIL_1]'] },
  })
})

test('in storage: neither what did not fit nor why', async () => {
  const narrow = { ...type, outputSchema: { type: 'object', additionalProperties: false } }
  const answer = json(replyOf({ [email]: 1 }))
  const gateway = await withDocuments([answer], { type: narrow, config: { maskPiiInLogs: true } })
  const reply = await gateway.generate({ input })
  expect(reply.status).toBe(502)
  expect(reply.text).toContain(email)
  const text = await stored(gateway)
  expect(text).toContain('must NOT have additional properties')
  expect(text).not.toContain(email)
  expect(gateway.log()).not.toContain(email)
})
