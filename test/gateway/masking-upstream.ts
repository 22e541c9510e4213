import { type Answer, json, stream } from './upstream.ts'
import { done, event } from './wire.ts'

/** What the tests plant, and what must never be seen where it is to be masked. */
export const secrets = {
  mail: 'ada.lovelace@example.com',
  phone: '+44 20 7946 0958',
  card: '4111 1111 1111 1111',
  key: '-----BEGIN PRIVATE KEY-----\nMIIE"abcd\n-----END PRIVATE KEY-----',
}

export const placeholder = /\[[A-Z_]+_\d+\]|not kept\]/

/** Says everything back that it was told, in the form it is asked for; streams come letter by letter. */
export const parrot: Answer = (reply, request) => {
  const asked = JSON.parse(request.text) as Record<string, unknown>
  const usage = { prompt_tokens: 7, completion_tokens: 5, total_tokens: 12 }
  if (request.path.endsWith('/embeddings'))
    return json({
      object: 'list',
      data: [{ object: 'embedding', index: 0, embedding: [0.5] }],
      model: 'm',
      usage,
    })(reply, request)
  if (request.path.endsWith('/moderations'))
    return json({ id: 'modr-1', model: 'm', results: [{ flagged: false, note: String(asked['input']) }] })(
      reply,
      request,
    )
  if (request.path.endsWith('/responses')) return asResponse(asked)(reply, request)
  const said = request.path.endsWith('/chat/completions') ? heard(asked['messages']) : String(asked['prompt'])
  if (request.path.endsWith('/chat/completions')) return asChat(asked, said, usage)(reply, request)
  const choice = (text: string, finish: string | null) => ({
    index: 0,
    text,
    logprobs: null,
    finish_reason: finish,
  })
  const head = { id: 'cmpl-1', object: 'text_completion', created: 1, model: 'm' }
  if (asked['stream'] !== true)
    return json({ ...head, choices: [choice(said, 'stop')], usage })(reply, request)
  const events = [...said].map(letter => event({ ...head, choices: [choice(letter, null)] }))
  return stream([...events, event({ ...head, choices: [choice('', 'stop')] }), done])(reply, request)
}

function asChat(asked: Record<string, unknown>, said: string, usage: object): Answer {
  const args = JSON.stringify({ said, quote: '"\n' })
  const call = { id: 'call_1', type: 'function', function: { name: 'tell', arguments: args } }
  const isTool = asked['tools'] !== undefined
  const finish = isTool ? 'tool_calls' : 'stop'
  const head = { id: 'chatcmpl-1', created: 1, model: 'm' }
  if (asked['stream'] !== true) {
    const message = {
      role: 'assistant',
      content: isTool ? null : said,
      refusal: null,
      ...(isTool ? { tool_calls: [call] } : {}),
    }
    return json({
      ...head,
      object: 'chat.completion',
      choices: [{ index: 0, message, logprobs: null, finish_reason: finish }],
      usage,
    })
  }
  const chunk = (delta: object, end: string | null = null) =>
    event({
      ...head,
      object: 'chat.completion.chunk',
      choices: [{ index: 0, delta, logprobs: null, finish_reason: end }],
    })
  const { arguments: _, ...named } = call.function
  return stream([
    chunk({ role: 'assistant', content: isTool ? null : '' }),
    ...(isTool
      ? [
          chunk({ tool_calls: [{ index: 0, ...call, function: { ...named, arguments: '' } }] }),
          ...[...args].map(letter => chunk({ tool_calls: [{ index: 0, function: { arguments: letter } }] })),
        ]
      : [...said].map(letter => chunk({ content: letter }))),
    chunk({}, finish),
    event({ ...head, object: 'chat.completion.chunk', choices: [], usage }),
    done,
  ])
}

function asResponse(asked: Record<string, unknown>): Answer {
  const said = typeof asked['input'] === 'string' ? asked['input'] : heard(asked['input'])
  const part = { type: 'output_text', text: said, annotations: [], logprobs: [] }
  const item = { id: 'msg_1', type: 'message', status: 'completed', role: 'assistant', content: [part] }
  const usage = {
    input_tokens: 7,
    output_tokens: 5,
    total_tokens: 12,
    input_tokens_details: { cached_tokens: 0, cache_write_tokens: 0 },
    output_tokens_details: { reasoning_tokens: 0 },
  }
  const head = {
    id: 'resp_1',
    object: 'response',
    created_at: 1,
    status: 'completed',
    model: 'm',
    output: [item],
    parallel_tool_calls: true,
    tool_choice: 'auto',
    tools: [],
    temperature: 1,
    top_p: 1,
    error: null,
    incomplete_details: null,
    instructions: asked['instructions'] ?? null,
    metadata: {},
    usage,
  }
  if (asked['stream'] !== true) return json(head)
  let number = 0
  const told = (type: string, rest: object) =>
    `event: ${type}\n${event({ type, sequence_number: number++, ...rest })}`
  const place = { item_id: 'msg_1', output_index: 0, content_index: 0 }
  const { usage: _, ...open } = head
  const begun = { ...open, status: 'in_progress', output: [] }
  return stream([
    told('response.created', { response: begun }),
    told('response.output_item.added', {
      output_index: 0,
      item: { ...item, status: 'in_progress', content: [] },
    }),
    told('response.content_part.added', { ...place, part: { ...part, text: '' } }),
    ...[...said].map(letter => told('response.output_text.delta', { ...place, delta: letter, logprobs: [] })),
    told('response.output_text.done', { ...place, text: said, logprobs: [] }),
    told('response.content_part.done', { ...place, part }),
    told('response.output_item.done', { output_index: 0, item }),
    told('response.completed', { response: head }),
  ])
}

/** Everything that messages say. */
function heard(messages: unknown): string {
  const found: string[] = []
  const walk = (value: unknown, name: string): void => {
    if (typeof value === 'string') {
      if (name === 'content' || name === 'text' || name === 'arguments' || name === 'output')
        found.push(value)
    } else if (value !== null && typeof value === 'object')
      for (const [key, one] of Object.entries(value)) walk(one, Array.isArray(value) ? name : key)
  }
  walk(messages, '')
  return found.join(' | ')
}
