import type OpenAI from 'openai'
import { expect, test } from 'vitest'
import { completion } from '../harness/chat.ts'
import { describeEachDatabase } from '../harness/databases.ts'
import { askedOf, expectOpenAI } from './responding.ts'
import { startGateway } from './running.ts'
import { json, startUpstream } from './upstream.ts'

type Item = OpenAI.Conversations.ConversationItem
type Given = OpenAI.Responses.ResponseInputItem

/** What a client gets besides what is on record: where to go on, and the request's id. */
function plain<T extends object>(value: T): T {
  const { _request_id: _, ...sent } = value as T & { _request_id?: string }
  return sent as T
}

/** All items of a conversation, page by page, the oldest first. */
async function itemsOf(client: OpenAI, id: string, limit = 100): Promise<Item[]> {
  const items: Item[] = []
  for await (const item of client.conversations.items.list(id, { order: 'asc', limit })) items.push(item)
  // The description wants a member of approvals (request_id) that it does not describe and nobody sends.
  for (const item of items)
    if (item.type !== 'mcp_approval_response') expectOpenAI('ConversationItem', plain(item))
  return items.map(plain)
}

const said = (role: 'user' | 'assistant' | 'system' | 'developer', content: string): Given => ({
  role,
  content,
})
const call = (name: string, call_id: string): Given => ({
  type: 'function_call',
  call_id,
  name,
  arguments: '{"at":1}',
})
const output = (call_id: string, text: string): Given => ({
  type: 'function_call_output',
  call_id,
  output: text,
})

const words = (items: readonly Item[]): string[] =>
  items.map(item => {
    if (item.type !== 'message') return item.type
    return item.content.map(part => ('text' in part ? part.text : part.type)).join()
  })

describeEachDatabase('conversations over HTTP', bed => {
  test('a conversation is made, read, changed and deleted', async () => {
    const running = await startGateway({ place: await bed.place() })
    const { conversations } = running.client()
    const made = plain(await conversations.create({ metadata: { team: 'blue' } }))
    expectOpenAI('ConversationResource', made)
    expect(made).toMatchObject({ object: 'conversation', metadata: { team: 'blue' } })
    expect(made.created_at).toBeCloseTo(Date.now() / 1000, -2)
    expect(plain(await conversations.retrieve(made.id))).toEqual(made)
    const changed = plain(await conversations.update(made.id, { metadata: { team: 'red', é: 'ü' } }))
    expect(changed).toEqual({ ...made, metadata: { team: 'red', é: 'ü' } })
    expect(plain(await conversations.update(made.id, { metadata: null }))).toEqual({ ...made, metadata: {} })
    const gone = plain(await conversations.delete(made.id))
    expectOpenAI('DeletedConversationResource', gone)
    expect(gone).toEqual({ id: made.id, object: 'conversation.deleted', deleted: true })
    await expect(conversations.retrieve(made.id)).rejects.toMatchObject({ status: 404 })
    await expect(conversations.delete(made.id)).rejects.toMatchObject({ status: 404 })
    expect(plain(await conversations.create())).toMatchObject({ metadata: {} })
  })

  test('items are added, listed both ways page by page, read and deleted one by one', async () => {
    const running = await startGateway({ place: await bed.place() })
    const client = running.client()
    const { items } = client.conversations
    const { id } = await client.conversations.create({
      items: [said('system', 'Be brief.'), said('user', 'Hi')],
    })
    const added = await items.create(id, {
      items: [said('assistant', 'Looking'), call('look', 'c1'), call('look', 'c2'), output('c1', 'one')],
    })
    expectOpenAI('ConversationItemList', plain(added))
    expect(added.has_more).toBe(false)
    expect([added.first_id, added.last_id]).toEqual([added.data[0]?.id, added.data[3]?.id])
    await items.create(id, { items: [output('c2', 'two')] })

    const all = await itemsOf(client, id)
    expect(words(all)).toEqual([
      'Be brief.',
      'Hi',
      'Looking',
      'function_call',
      'function_call',
      'function_call_output',
      'function_call_output',
    ])
    expect(new Set(all.map(item => item.id)).size).toBe(7)
    expect(all.slice(2, 6)).toEqual(added.data)
    for (const limit of [1, 2, 3]) expect(await itemsOf(client, id, limit)).toEqual(all)
    const newest = await items.list(id, { limit: 3 })
    expect(newest.data).toEqual(all.toReversed().slice(0, 3))
    expect(newest.has_more).toBe(true)
    const rest = await items.list(id, { limit: 100, after: newest.data[2]?.id ?? '' })
    expect(rest.data).toEqual(all.toReversed().slice(3))
    for (const item of all)
      expect(plain(await items.retrieve(item.id ?? '', { conversation_id: id }))).toEqual(item)

    // One of the two calls goes; what the same message says, and the other call, stay.
    const first = all[3]?.id ?? ''
    const left = plain(await items.delete(first, { conversation_id: id }))
    expectOpenAI('ConversationResource', left)
    expect(left.id).toBe(id)
    expect(await itemsOf(client, id)).toEqual(all.filter(item => item.id !== first))
    for (const again of ['retrieve', 'delete'] as const)
      await expect(items[again](first, { conversation_id: id })).rejects.toMatchObject({
        status: 404,
        code: 'item_not_found',
      })
    // A page goes on behind an item that was deleted meanwhile.
    const behind = await items.list(id, { after: first, order: 'asc' })
    expect(behind.data).toEqual(all.slice(4))
    for await (const item of items.list(id, { limit: 2 }))
      await items.delete(item.id ?? '', { conversation_id: id })
    expect(await itemsOf(client, id)).toEqual([])
  })

  test('what calls and responses bring and what is added are one conversation', async () => {
    const running = await startGateway({ place: await bed.place() })
    const client = running.client()
    const asked = { model: 'echo', messages: [{ role: 'user' as const, content: 'By a call' }] }
    const { response } = await client.chat.completions.create(asked).withResponse()
    const id = response.headers.get('x-stele-conversation') ?? ''
    const [question, reply] = await itemsOf(client, id)
    expect(words([question as Item, reply as Item])).toEqual(['By a call', 'By a call'])
    await client.conversations.items.create(id, { items: [said('developer', 'Now added')] })
    const made = await client.responses.create({ model: 'echo', input: 'By a response', conversation: id })
    const all = await itemsOf(client, id)
    expect(words(all)).toEqual(['By a call', 'By a call', 'Now added', 'By a response', 'By a response'])
    expect(all.slice(0, 2)).toEqual([question, reply])
    expect(all[4]).toEqual(made.output[0])
    const { data } = await client.responses.inputItems.list(made.id)
    expect(all[3]).toEqual(data[0])
    for (const item of all)
      expect(
        plain(await client.conversations.items.retrieve(item.id ?? '', { conversation_id: id })),
      ).toEqual(item)
  })
})

const others: readonly object[] = [
  {
    type: 'reasoning',
    id: 'rs_1',
    summary: [{ type: 'summary_text', text: 'Hm.' }],
    encrypted_content: 'xyz',
  },
  { type: 'web_search_call', id: 'ws_1', status: 'completed', action: { type: 'search', query: 'maps' } },
  { type: 'file_search_call', id: 'fs_1', status: 'completed', queries: ['maps'], results: null },
  {
    type: 'computer_call',
    id: 'cu_1',
    call_id: 'c9',
    action: { type: 'screenshot' },
    pending_safety_checks: [],
    status: 'completed',
  },
  { type: 'image_generation_call', id: 'ig_1', status: 'completed', result: 'aGk=' },
  {
    type: 'code_interpreter_call',
    id: 'ci_1',
    status: 'completed',
    container_id: 'k',
    code: '1',
    outputs: [],
  },
  { type: 'mcp_list_tools', id: 'mcpl_1', server_label: 's', tools: [] },
  { type: 'mcp_call', id: 'mcp_1', server_label: 's', name: 'n', arguments: '{}', output: 'o' },
  { type: 'mcp_approval_request', id: 'mcpr_1', server_label: 's', name: 'n', arguments: '{}' },
  { type: 'mcp_approval_response', id: 'mcpa_1', approval_request_id: 'mcpr_1', approve: true },
  { type: 'local_shell_call', id: 'ls_1', call_id: 'c', status: 'completed', action: shellAction() },
  { type: 'custom_tool_call', id: 'ctc_1', call_id: 'c7', name: 'n', input: 'i', status: 'completed' },
  { type: 'custom_tool_call_output', id: 'ctco_1', call_id: 'c7', output: 'o', status: 'completed' },
  {
    type: 'message',
    id: 'msg_by_a_client',
    role: 'assistant',
    status: 'incomplete',
    content: [
      {
        type: 'output_text',
        text: 'See here',
        annotations: [
          { type: 'url_citation', url: 'https://x.test', title: 'X', start_index: 0, end_index: 3 },
        ],
        logprobs: [],
      },
      { type: 'refusal', refusal: 'No more.' },
    ],
  },
  {
    type: 'message',
    id: 'msg_with_a_file',
    role: 'user',
    status: 'completed',
    content: [
      { type: 'input_image', file_id: 'file_1', detail: 'high' },
      { type: 'input_text', text: 'What is it?' },
    ],
  },
]

function shellAction(): object {
  return { type: 'exec', command: ['ls'], env: {} }
}

test('items of every other kind are kept as they are and given back as they were', async () => {
  const running = await startGateway()
  const client = running.client()
  const { id } = await client.conversations.create()
  for (const item of others) {
    const added = await client.conversations.items.create(id, { items: [item as Given] })
    expect(added.data).toEqual([item])
  }
  expect(await itemsOf(client, id)).toEqual(others)
  const together = await client.conversations.create({ items: others as Given[] })
  expect(await itemsOf(client, together.id)).toEqual(others)
  for (const { id: item } of others as { id: string }[])
    await client.conversations.items.delete(item, { conversation_id: together.id })
  expect(await itemsOf(client, together.id)).toEqual([])
})

test('an id is given once in a conversation', async () => {
  const running = await startGateway()
  const client = running.client()
  const { id } = await client.conversations.create({ items: [said('user', 'Hi')] })
  const [made] = await itemsOf(client, id)
  const named = (item: string): Given => ({ ...said('user', 'Again'), id: item }) as Given
  for (const items of [[named('msg_x'), named('msg_x')], [named(made?.id ?? '')]])
    await expect(client.conversations.items.create(id, { items })).rejects.toMatchObject({ status: 400 })
  await client.conversations.items.create(id, { items: [named('msg_x')] })
  await expect(client.conversations.items.create(id, { items: [named('msg_x')] })).rejects.toMatchObject({
    status: 400,
    code: 'invalid_value',
  })
  expect((await itemsOf(client, id)).map(item => item.id)).toEqual([made?.id, 'msg_x'])
})

test('a model is told what is left, and nothing that chat completions have no words for', async () => {
  const upstream = await startUpstream(json(completion('Done')))
  const running = await startGateway({ upstream })
  const client = running.client()
  const { id } = await client.conversations.create({
    items: [
      said('user', 'Look'),
      others[0] as Given,
      said('assistant', 'Looking'),
      call('look', 'c1'),
      call('look', 'c2'),
      output('c1', 'one'),
      output('c2', 'two'),
    ],
  })
  await client.conversations.items.create(id, { items: [others[1] as Given] })
  const all = await itemsOf(client, id)
  for (const item of [all[4], all[6]])
    await client.conversations.items.delete(item?.id ?? '', { conversation_id: id })
  await client.responses.create({ model: 'gpt-test', input: 'And?', conversation: id })
  const [request] = upstream.journal
  if (request === undefined) throw new Error('nothing was asked')
  const look = { name: 'look', arguments: '{"at":1}' }
  expect(askedOf(request).messages).toEqual([
    { role: 'user', content: 'Look' },
    { role: 'assistant', content: 'Looking', tool_calls: [{ id: 'c1', type: 'function', function: look }] },
    { role: 'tool', tool_call_id: 'c1', content: 'one' },
    { role: 'user', content: 'And?' },
  ])
  const messages = await running.stele.messages.list({ userId: 'ada', conversationId: id })
  expect(JSON.stringify(messages)).not.toContain('\\"c2\\"')
})

test("a chat goes on from what was added, by its words, and a reply's calls are items", async () => {
  const tool_calls = [{ id: 'c5', type: 'function', function: { name: 'look', arguments: '{}' } }]
  const upstream = await startUpstream(json(completion('Looking', { message: { tool_calls } })))
  const running = await startGateway({ upstream })
  const client = running.client()
  const { id } = await client.conversations.create({
    items: [said('user', 'Hi'), said('assistant', 'Hello')],
  })
  const messages = ['Hi', 'Hello', 'Look'].map((content, index) => ({
    role: index === 1 ? ('assistant' as const) : ('user' as const),
    content,
  }))
  const { response } = await client.chat.completions.create({ model: 'gpt-test', messages }).withResponse()
  expect(response.headers.get('x-stele-conversation')).toBe(id)
  const all = await itemsOf(client, id)
  expect(words(all)).toEqual(['Hi', 'Hello', 'Look', 'Looking', 'function_call'])
  expect(all[4]).toMatchObject({ call_id: 'c5', name: 'look', arguments: '{}', status: 'completed' })

  // What the assistant said is shown as such, and stays what it said when a call beside it is deleted.
  const { data } = await client.conversations.items.list(id)
  for (const item of data) expectOpenAI('ConversationItem', plain(item))
  const output = (text: string) => [{ type: 'output_text', text, annotations: [], logprobs: [] }]
  expect(data.map(item => 'content' in item && item.content)).toMatchObject([
    false,
    output('Looking'),
    [{ type: 'input_text', text: 'Look' }],
    output('Hello'),
    [{ type: 'input_text', text: 'Hi' }],
  ])
  await client.conversations.items.delete(all[4]?.id ?? '', { conversation_id: id })
  upstream.answer(json(completion('Fine')))
  await client.responses.create({ model: 'gpt-test', input: 'And?', conversation: id })
  expect(upstream.journal[1] && askedOf(upstream.journal[1]).messages).toMatchObject([
    { content: 'Hi' },
    { content: 'Hello' },
    { content: 'Look' },
    { role: 'assistant', content: 'Looking' },
    { content: 'And?' },
  ])
})

test('what came with an id of its own in a response is found by it', async () => {
  const running = await startGateway()
  const client = running.client()
  const { id } = await client.conversations.create()
  const input = [
    { type: 'message' as const, id: 'msg_given', role: 'user' as const, content: 'Hi' },
    { type: 'reasoning' as const, id: 'rs_given', summary: [] },
    said('assistant', 'Hello'),
    said('user', 'So?'),
  ] as OpenAI.Responses.ResponseInput
  await client.responses.create({ model: 'echo', conversation: id, input })
  const all = await itemsOf(client, id)
  expect(all.map(item => item.id)).toEqual(expect.arrayContaining(['msg_given', 'rs_given']))
  expect(all).toHaveLength(5)
  for (const item of all)
    expect(plain(await client.conversations.items.retrieve(item.id ?? '', { conversation_id: id }))).toEqual(
      item,
    )
  await expect(
    client.conversations.items.create(id, { items: [{ ...said('user', 'Hi'), id: 'rs_given' } as Given] }),
  ).rejects.toMatchObject({ status: 400, code: 'invalid_value' })
})

test('a conversation of an application is shown in OpenAI’s shape', async () => {
  const running = await startGateway()
  const { conversations } = running.stele
  const metadata = { team: 7, tags: ['a'], name: 'x' }
  const messages = [
    { message: { role: 'critic', content: 'Hm' } },
    { message: { role: 'captain', content: 'Ahoy' } },
  ]
  const { id } = await conversations.create({ userId: 'ada', metadata, messages })
  const client = running.client()
  const shown = plain(await client.conversations.retrieve(id))
  expect(shown.metadata).toEqual({ team: '7', tags: '["a"]', name: 'x' })
  expect((await itemsOf(client, id)).map(item => 'role' in item && item.role)).toEqual(['critic', 'unknown'])
})
