import { expect, test } from 'vitest'
import { plan, planInput, planType, replyOf } from '../harness/documents.ts'
import { rowsOf } from '../harness/rows.ts'
import { type Documenting, fieldsOf, withDocuments } from './documenting.ts'
import { errorOf } from './running.ts'
import { json, reset, silence } from './upstream.ts'
import { openAiError } from './wire.ts'

const wrong = { title: 7 }

function firstMessage(asked: Record<string, unknown> | undefined): string | undefined {
  return (asked?.['messages'] as { content: string }[] | undefined)?.[0]?.content
}

async function onlyDocument({ stele }: Documenting) {
  const documents = await stele.documents.list({ userId: 'ada' })
  expect(documents).toHaveLength(1)
  return documents[0]
}

test('a valid reply is a document: told, and on record with all that it took', async () => {
  const gateway = await withDocuments([json(replyOf(plan))], {
    type: planType({ parameters: { temperature: 0.2 }, strict: true }),
  })
  const reply = await gateway.generate()
  expect(reply.status, reply.text).toBe(200)
  const document = fieldsOf(reply)
  expect(document).toMatchObject({
    object: 'document',
    type: 'plan',
    version: '1.0',
    number: 1,
    status: 'completed',
    user: 'ada',
    model: 'test-model-2026',
    input: planInput,
    output: plan,
    error: null,
    usage: { input_tokens: 10, output_tokens: 5, total_tokens: 15 },
    cost_nanousd: null,
    calls: [reply.headers['x-stele-call-id']],
    previous_id: null,
    first_id: document['id'],
  })
  expect(document['requested_by']).toMatch(/^key_/)
  expect(document['generation_time_ms']).toBeGreaterThanOrEqual(0)
  expect(reply.headers['x-stele-document-id']).toBe(document['id'])
  const [asked] = gateway.asked()
  expect(asked).toEqual({
    model: 'm',
    messages: [
      { role: 'system', content: 'You write plans for Ada.' },
      { role: 'user', content: 'Plan: a stele' },
    ],
    temperature: 0.2,
    response_format: {
      type: 'json_schema',
      json_schema: { name: 'plan', schema: planType().outputSchema, strict: true },
    },
  })
  const [call] = await gateway.stele.calls.list({ userId: 'ada' })
  expect(call).toMatchObject({ documentType: 'plan', documentVersion: '1.0', status: 'completed' })
  expect(await gateway.stele.calls.exactRequest('ada', call?.id ?? '')).toEqual(
    gateway.upstream.journal[0]?.body,
  )
  expect(fieldsOf(await gateway.ask('GET', `/v1/documents/${document['id']}`))).toEqual(document)
})

test('a reply that does not fit is sent back with its misfits once, as a second call of the same group', async () => {
  const gateway = await withDocuments([json(replyOf(wrong)), json(replyOf(plan))])
  const reply = await gateway.generate()
  expect(reply.status, reply.text).toBe(200)
  const document = fieldsOf(reply)
  expect(document).toMatchObject({ status: 'completed', output: plan, usage: { total_tokens: 30 } })
  const [, repair] = gateway.asked()
  const messages = repair?.['messages'] as { role: string; content: string }[]
  expect(messages.map(({ role }) => role)).toEqual(['system', 'user', 'assistant', 'user'])
  expect(messages[2]?.content).toBe(JSON.stringify(wrong))
  expect(messages[3]?.content).toContain('/title must be string')
  expect(messages[3]?.content).toContain("must have required property 'steps'")
  expect(repair).toHaveProperty('response_format')
  const calls = await gateway.stele.calls.group('ada', (document['calls'] as string[])[0] ?? '')
  expect(
    calls.map(({ id, routeMode, documentType, status }) => [id, routeMode, documentType, status]),
  ).toEqual([
    [(document['calls'] as string[])[0], undefined, 'plan', 'completed'],
    [(document['calls'] as string[])[1], 'repair', 'plan', 'completed'],
  ])
  expect(calls[1]?.conversationId).toBe(calls[0]?.conversationId)
  const conversation = await gateway.stele.conversations.list({ userId: 'ada' })
  expect(conversation).toHaveLength(1)
})

test.each([
  ['of another shape', wrong, '/title must be string'],
  ['no JSON', 'Sorry, I cannot.', 'the reply is not JSON'],
  ['nothing', '', 'the reply is empty'],
  ['nested without end', '['.repeat(100_000), 'the reply is not JSON'],
])('a reply that is %s twice is an invalid document, kept as it came', async (_what, said, why) => {
  const gateway = await withDocuments([json(replyOf(said))])
  const reply = await gateway.generate()
  expect(reply.status).toBe(502)
  expect(errorOf(reply)).toMatchObject({ code: 'document_invalid', message: expect.stringContaining(why) })
  const document = await onlyDocument(gateway)
  expect(document).toMatchObject({
    id: reply.headers['x-stele-document-id'],
    status: 'invalid',
    errorCode: 'document_invalid',
    errorMessage: expect.stringContaining(why),
    totalTokens: 30,
  })
  expect(JSON.parse(document?.output ?? '')).toEqual(said)
  expect(gateway.upstream.journal).toHaveLength(2)
  expect(gateway.log(), 'what came is not logged').not.toContain(why)
})

test('JSON between the fences of a block of code is a document', async () => {
  const gateway = await withDocuments([json(replyOf(`\`\`\`json\n${JSON.stringify(plan, null, 2)}\n\`\`\``))])
  expect(fieldsOf(await gateway.generate())).toMatchObject({ status: 'completed', output: plan })
})

test("a provider's failure is told in its words and is a failed document", async () => {
  const gateway = await withDocuments([json(openAiError('Too much', 'rate_limit'), { status: 429 })])
  const reply = await gateway.generate()
  expect(reply.status).toBe(429)
  expect(reply.text).toContain('Too much')
  expect(await onlyDocument(gateway)).toMatchObject({
    id: reply.headers['x-stele-document-id'],
    status: 'failed',
    errorCode: 'provider_error',
    output: undefined,
    input: JSON.stringify(planInput),
  })
  gateway.upstream.answer(reset)
  expect(errorOf(await gateway.generate()).code).toBe('provider_unreachable')
})

test('a failure of the repair is a failed document with both calls', async () => {
  const gateway = await withDocuments([json(replyOf(wrong)), reset])
  const reply = await gateway.generate()
  expect(errorOf(reply).code).toBe('provider_unreachable')
  const document = await onlyDocument(gateway)
  expect(document).toMatchObject({ status: 'failed', errorCode: 'provider_unreachable', output: undefined })
  expect(document?.callIds).toHaveLength(2)
})

test('a provider that takes no schema is asked in words, and from then on at once', async () => {
  const refusal = json(openAiError("Unknown parameter: 'response_format'"), { status: 400 })
  const gateway = await withDocuments([refusal, json(replyOf(plan))])
  expect(fieldsOf(await gateway.generate())).toMatchObject({ status: 'completed', output: plan })
  const [first, second] = gateway.asked()
  expect(first).toHaveProperty('response_format')
  expect(second).not.toHaveProperty('response_format')
  const content = firstMessage(second)
  expect(content).toContain('You write plans for Ada.')
  expect(content).toContain(JSON.stringify(planType().outputSchema))
  const document = await onlyDocument(gateway)
  expect(document?.callIds).toHaveLength(2)
  await gateway.generate()
  expect(gateway.asked()).toHaveLength(3)
  expect(gateway.asked()[2]).not.toHaveProperty('response_format')
})

test('a refusal that is not about the schema is told', async () => {
  const gateway = await withDocuments([json(openAiError('Your prompt is bad'), { status: 400 })])
  const reply = await gateway.generate()
  expect(reply.status).toBe(400)
  expect(reply.text).toContain('Your prompt is bad')
  expect(gateway.asked()).toHaveLength(2)
  await gateway.generate()
  expect(gateway.asked()[2], 'nothing was learned of it').toHaveProperty('response_format')
})

test('a client that leaves ends the call and the document', async () => {
  const gateway = await withDocuments([silence])
  const leaving = new AbortController()
  const sent = fetch(`${gateway.address}/v1/documents/plan`, {
    method: 'POST',
    signal: leaving.signal,
    headers: { authorization: `Bearer ${gateway.key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ input: planInput }),
  }).catch(() => undefined)
  const { over } = await gateway.upstream.received()
  leaving.abort()
  expect(await over).toBe(true)
  await sent
  await expect
    .poll(() => onlyDocument(gateway))
    .toMatchObject({ status: 'failed', errorCode: 'client_closed_request' })
  expect((await gateway.stele.calls.list({ userId: 'ada' }))[0]).toMatchObject({ status: 'aborted' })
})

test('an input that does not fit is refused with its places, and nothing is recorded', async () => {
  const gateway = await withDocuments([json(replyOf(plan))])
  const reply = await gateway.generate({ input: { name: '', aim: 1 } })
  expect(reply.status).toBe(400)
  const { code, message, param } = errorOf(reply)
  expect({ code, param }).toEqual({ code: 'document_input_invalid', param: expect.stringMatching(/^input/) })
  expect(message).toContain("must have required property 'goal'")
  expect(message).toContain("must NOT have additional properties ('aim')")
  expect(message).toContain('/name must NOT have fewer than 1 characters')
  for (const [body, status, error] of [
    [{}, 400, 'missing_required_parameter'],
    [{ input: [] }, 400, 'invalid_value'],
    ['{"input":', 400, 'invalid_json'],
    ['{"input":{"a":1,"a":2}}', 400, 'duplicate_member'],
    [`{"input":${'['.repeat(1000)}`, 400, 'json_too_deep'],
    [{ input: planInput, version: '2.0' }, 404, 'document_type_not_found'],
    [{ input: planInput, version: 'x\0' }, 400, 'invalid_value'],
    [{ input: planInput, regenerates: 'doc_none' }, 404, 'document_not_found'],
  ] as const) {
    const refused = await gateway.generate(body)
    expect([refused.status, errorOf(refused).code], JSON.stringify(body)).toEqual([status, error])
  }
  const unknown = await gateway.generate(undefined, { type: 'none' })
  expect([unknown.status, errorOf(unknown).code]).toEqual([404, 'document_type_not_found'])
  expect(gateway.asked()).toEqual([])
  expect(await rowsOf(gateway.stele, 'documents')).toEqual([])
  expect(await gateway.stele.calls.list()).toEqual([])
})

test('what an input says is never read as a template', async () => {
  const gateway = await withDocuments([json(replyOf(plan))], {
    type: planType({
      prompt: {
        user: '{{name}}|{{{name}}}|{{&name}}|{{goal}}|{{constructor}}|{{#list}}{{.}};{{/list}}|{{map}}|{{{map}}}',
      },
      inputSchema: { type: 'object' },
    }),
  })
  const name = '{{goal}} {{{goal}}} {{#name}}x{{/name}} {{=<% %>=}} <b>&"\' {{> name}} $& $1'
  const input = `{"name":${JSON.stringify(name)},"goal":"G","__proto__":{"polluted":"yes"},"list":["{{goal}}",{"a":1}],"map":{"k":"{{goal}}"}}`
  const reply = await gateway.generate(`{"input":${input}}`)
  expect(reply.status, reply.text).toBe(200)
  const content = firstMessage(gateway.asked()[0])
  expect(content).toBe(`${name}|${name}|${name}|G||{{goal}};{"a":1};|{"k":"{{goal}}"}|{"k":"{{goal}}"}`)
  expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
})

test('a huge input is taken, and a huge wrong one refused in a few words', async () => {
  const gateway = await withDocuments([json(replyOf(plan))], {
    type: planType({
      inputSchema: { type: 'object', properties: { list: { type: 'array', items: { type: 'string' } } } },
      prompt: { user: '{{#list}}{{.}}{{/list}}' },
    }),
  })
  const words = Array.from({ length: 200_000 }, () => 'wordwordword')
  expect((await gateway.generate({ input: { list: words } })).status).toBe(200)
  const wrongs = await gateway.generate({ input: { list: words.map(() => 1) } })
  expect(wrongs.status).toBe(400)
  expect(wrongs.text.length).toBeLessThan(2_000)
})

test('the last version that is valid is used unless one is named; an old one stays', async () => {
  const gateway = await withDocuments([json(replyOf(plan))])
  const { documents } = gateway.stele
  await documents.register(planType({ version: '2.0', prompt: { user: 'Second' } }))
  await documents.register(
    planType({ version: '3.0', prompt: { user: 'Third' }, validFrom: '2999-01-01T00:00:00Z' }),
  )
  expect(fieldsOf(await gateway.generate())).toMatchObject({ version: '2.0' })
  expect(fieldsOf(await gateway.generate({ input: planInput, version: '1.0' }))).toMatchObject({
    version: '1.0',
  })
  const early = await gateway.generate({ input: planInput, version: '3.0' })
  expect([early.status, errorOf(early).code]).toEqual([400, 'document_type_not_in_force'])
  const said = gateway.asked().map(({ messages }) => (messages as { content: string }[]).at(-1)?.content)
  expect(said).toEqual(['Second', 'Plan: a stele'])
})

test('a document that is made again knows what it takes the place of', async () => {
  const gateway = await withDocuments([json(replyOf(plan))])
  const first = fieldsOf(await gateway.generate())
  const second = fieldsOf(await gateway.generate({ regenerates: first['id'] }))
  expect(second).toMatchObject({
    number: 2,
    previous_id: first['id'],
    first_id: first['id'],
    input: planInput,
  })
  const other = { ...planInput, goal: 'a bridge' }
  const third = fieldsOf(await gateway.generate({ regenerates: first['id'], input: other }))
  expect(third).toMatchObject({ number: 3, previous_id: first['id'], input: other })
  const history = fieldsOf(await gateway.ask('GET', `/v1/documents/${second['id']}/history`))
  expect((history['data'] as { id: string }[]).map(({ id }) => id)).toEqual([
    first['id'],
    second['id'],
    third['id'],
  ])
  await gateway.stele.documents.register(planType({ name: 'other' }))
  const crossed = await gateway.generate({ regenerates: first['id'] }, { type: 'other' })
  expect([crossed.status, errorOf(crossed).param]).toEqual([400, 'regenerates'])
  expect((await gateway.ask('DELETE', `/v1/documents/${first['id']}`)).status).toBe(200)
  expect((await gateway.ask('GET', `/v1/documents/${first['id']}`)).status).toBe(404)
  expect((await gateway.ask('DELETE', `/v1/documents/${first['id']}`)).status).toBe(404)
  expect((await gateway.generate({ regenerates: first['id'] })).status).toBe(404)
  const left = fieldsOf(await gateway.ask('GET', `/v1/documents/${third['id']}/history`))
  expect((left['data'] as object[]).length).toBe(2)
})

test('documents are listed by type, status and time, page by page in both directions', async () => {
  const gateway = await withDocuments([json(replyOf(plan))])
  await gateway.stele.documents.register(planType({ name: 'note' }))
  const ids: unknown[] = []
  for (const type of ['plan', 'note', 'plan', 'plan', 'note'])
    ids.push(fieldsOf(await gateway.generate(undefined, { type }))['id'])
  const list = async (query: string) => {
    const page = fieldsOf(await gateway.ask('GET', `/v1/documents?${query}`))
    return {
      ids: (page['data'] as { id: string }[]).map(({ id }) => ids.indexOf(id)),
      more: page['has_more'],
    }
  }
  expect(await list('')).toEqual({ ids: [4, 3, 2, 1, 0], more: false })
  expect(await list('order=asc&limit=2')).toEqual({ ids: [0, 1], more: true })
  expect(await list(`order=asc&limit=2&after=${ids[1]}`)).toEqual({ ids: [2, 3], more: true })
  expect(await list(`order=asc&limit=2&before=${ids[4]}`)).toEqual({ ids: [2, 3], more: true })
  expect(await list(`limit=2&before=${ids[1]}`)).toEqual({ ids: [3, 2], more: true })
  expect(await list(`limit=3&before=${ids[1]}`)).toEqual({ ids: [4, 3, 2], more: false })
  expect(await list(`after=${ids[4]}&before=${ids[1]}`)).toEqual({ ids: [3, 2], more: false })
  expect(await list('type=note')).toEqual({ ids: [4, 1], more: false })
  expect(await list('type=note&version=9')).toEqual({ ids: [], more: false })
  expect(await list('status=failed')).toEqual({ ids: [], more: false })
  expect(await list('from=2999-01-01')).toEqual({ ids: [], more: false })
  expect((await list('to=2999-01-01&from=2020-01-01T00:00Z')).ids).toHaveLength(5)
  for (const query of ['status=none', 'limit=0', 'order=up', 'from=yesterday', 'after=a&after=b'])
    expect((await gateway.ask('GET', `/v1/documents?${query}`)).status, query).toBe(400)
})

test('an Idempotency-Key makes one document, and tells how it ended again', async () => {
  const gateway = await withDocuments([json(replyOf(wrong)), json(replyOf(plan))])
  const headers = { 'idempotency-key': 'one' }
  const first = await gateway.generate(undefined, { headers })
  const again = await gateway.generate(undefined, { headers })
  expect(again.headers['idempotent-replayed']).toBe('true')
  expect(fieldsOf(again)).toEqual(fieldsOf(first))
  expect(gateway.asked()).toHaveLength(2)
  const other = await gateway.generate({ input: { ...planInput, goal: 'x' } }, { headers })
  expect([other.status, errorOf(other).code]).toEqual([409, 'idempotency_key_reused'])

  gateway.upstream.answer(json(replyOf(wrong)))
  const two = { headers: { 'idempotency-key': 'two' } }
  const failed = await gateway.generate(undefined, two)
  const told = await gateway.generate(undefined, two)
  expect([failed.status, told.status]).toEqual([502, 502])
  expect(told.headers['x-stele-document-id']).toBe(failed.headers['x-stele-document-id'])
  expect(errorOf(told).message).toBe(errorOf(failed).message)
})
