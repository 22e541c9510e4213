import { randomBytes } from 'node:crypto'
import type { Database } from '../../src/db/database.ts'
import type { Tables } from '../../src/db/tables.ts'
import { derivedId } from '../../src/ids.ts'

/** The month that the calls are of. */
export const firstDay = '2026-03-01'
export const lastDay = '2026-03-31'

const start = Date.UTC(2026, 2, 1)
const length = 31 * 86_400_000

const models = ['gpt-5', 'gpt-5-mini', 'claude-opus', 'claude-haiku', 'llama-4', 'mistral-large'] as const
const providers = ['openai', 'openai', 'anthropic', 'anthropic', 'local', 'mistral'] as const

/** Calls of each user so far. */
const callsOf = new Map<number, number>()

const callsAtATime = 2_000
const callsOfAConversation = 8

export interface Month {
  readonly calls: number
  readonly users: number
}

/** Numbers that look random and are the same in every run. */
function numbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

/** Writes calls evenly over the month; some users make far more of them than others. */
export async function fillMonth(
  database: Database,
  { calls, users }: Month,
  onProgress: (done: number) => void,
): Promise<void> {
  const random = numbers(1)
  for (let done = 0; done < calls; done += callsAtATime) {
    const count = Math.min(callsAtATime, calls - done)
    await write(
      database,
      Array.from({ length: count }, (_, index) =>
        callAt(start + Math.floor(((done + index) / calls) * length), users, random),
      ),
    )
    if ((done + count) % 100_000 === 0) onProgress(done + count)
  }
}

/** Further calls, made just now and counted on the last day of the month. */
export async function moreCalls(database: Database, { calls, users }: Month): Promise<void> {
  const random = numbers(2)
  const made = Array.from({ length: calls }, () => callAt(Date.now(), users, random))
  await write(
    database,
    made.map(({ request, response }) => ({
      request,
      response: { ...response, created_at: start + length - 1 },
    })),
  )
}

interface Call {
  readonly request: Tables['llm_requests']
  readonly response: Tables['llm_responses']
}

async function write(database: Database, calls: readonly Call[]): Promise<void> {
  const requests = calls.map(({ request }) => request)
  const responses = calls.map(({ response }) => response)
  await database.ensureStorageFor('llm_requests', requests)
  await database.ensureStorageFor('llm_responses', responses)
  await database.batch(async batch => {
    await batch.insert('llm_requests', requests)
    await batch.insert('llm_responses', responses)
  })
}

function callAt(time: number, users: number, random: () => number): Call {
  const user = Math.floor(users * random() ** 3)
  const user_id = `user-${user}`
  const which = Math.floor(models.length * random() ** 2)
  const model = models[which] ?? 'gpt-5'
  const failed = random() < 0.02
  const id = derivedId('call', time, randomBytes(10))
  const made = (callsOf.get(user) ?? 0) + 1
  callsOf.set(user, made)
  const request = {
    user_id,
    id,
    conversation_id: `conv_${user}_${Math.floor(made / callsOfAConversation)}`,
    up_to_seq: 1,
    api_key_id: `key_${user}_${user % 5 === 0 ? Math.floor(random() * 2) : 0}`,
    instance_id: 'inst',
    provider: providers[which] ?? 'openai',
    request_model: model,
    operation: random() < 0.9 ? 'chat' : 'embeddings',
    params: null,
    messages_at: null,
    separator: null,
    body: null,
    prompt_hash: '',
    created_at: time,
    group_id: null,
    route_mode: null,
    reserved_tokens: null,
    reserved_nanousd: null,
    compression: null,
    sent: null,
    document_type: null,
    document_version: null,
  }
  const latency = Math.floor(80 * Math.exp(4 * random()))
  const tokens = Math.floor(50 + 2_000 * random())
  const response = {
    user_id,
    request_id: id,
    status: failed ? 'failed' : 'completed',
    http_status: failed ? 500 : 200,
    content_type: 'application/json',
    body: null,
    content_at: null,
    conversation_id: null,
    seq: null,
    response_model: failed ? null : model,
    provider_response_id: null,
    finish_reasons: null,
    input_tokens: failed ? null : tokens,
    output_tokens: failed ? null : Math.floor(tokens / 4),
    cache_read_input_tokens: failed ? null : Math.floor(tokens / 10),
    reasoning_output_tokens: null,
    cost_nanousd: failed ? null : tokens * 1_250,
    latency_ms: latency,
    time_to_first_chunk_ms: failed ? null : Math.floor(latency / 4),
    error_code: failed ? 'provider_error' : null,
    created_at: Math.min(time + latency, start + length - 1),
    error_message: null,
    usage_source: failed ? null : 'reported',
    cache_creation_input_tokens: null,
    usage_details: null,
    cache_hit: null,
    saved_input_tokens: null,
    saved_output_tokens: null,
    saved_nanousd: null,
  }
  return { request, response }
}
