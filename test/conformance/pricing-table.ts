import type { Outcome } from '../../src/model/call.ts'
import { parsePlainRequest } from '../../src/model/plain-request.ts'
import { readResponse } from '../../src/model/responses/reply.ts'
import { countTokens } from '../../src/pricing/tokens.ts'
import type { BeginInput } from '../../src/recorder/begin-input.ts'
import { chatBody, completed, completionBody, user } from '../harness/chat.ts'

export const openai = { provider: 'openai', requestModel: 'gpt-4o' }
export const asked = chatBody([user('What is the capital of France?')], { model: 'gpt-4o' })
/** What a tokenizer makes of the words of `asked`, and what frames them. */
export const askedTokens = countTokens('gpt-4o', 'What is the capital of France?') + 4 + 3
export const said = 'The capital of France is Paris.'
export const saidTokens = countTokens('gpt-4o', said)

export function reply(usage: object | null, more: object = {}): string {
  const body = JSON.parse(completionBody(said, { model: 'gpt-4o-2024-08-06' })) as Record<string, unknown>
  return JSON.stringify({ ...body, usage, ...more })
}

export const reported = { prompt_tokens: 1_000, completion_tokens: 100, total_tokens: 1_100 }
const broken = { finishReasons: [], usage: {}, message: { content: said } }

/** A response that a provider made with tools of its own. */
function withTools(output: readonly object[], tools: readonly object[] = []): Outcome {
  const usage = { input_tokens: 1_000, output_tokens: 100, total_tokens: 1_100 }
  const response = {
    object: 'response',
    status: 'completed',
    model: 'gpt-4o-2024-08-06',
    output,
    tools,
    usage,
  }
  return completed(JSON.stringify(response), { reply: readResponse(response) })
}

const search = { type: 'web_search_call', status: 'completed', action: { type: 'search', query: 'Paris' } }

interface EndedCall {
  readonly name: string
  readonly outcome: Outcome
  readonly input?: Partial<BeginInput>
  readonly body?: BeginInput['body']
  /** Tokens in and out, who counted, and nano-US-dollars; null where unknown. */
  readonly is: readonly [number | null, number | null, string | null, number | null]
}

/** How calls end, by what providers were recorded to say. */
export const endedCalls: readonly EndedCall[] = [
  { name: 'whole', outcome: completed(reply(reported)), is: [1_000, 100, 'reported', 3_500_000] },
  {
    name: 'whole, partly from the cache, thinking',
    outcome: completed(
      reply({
        ...reported,
        prompt_tokens_details: { cached_tokens: 800 },
        completion_tokens_details: { reasoning_tokens: 60 },
      }),
    ),
    is: [1_000, 100, 'reported', 2_500_000],
  },
  {
    name: 'whole, the cache written by the hour',
    input: { provider: 'anthropic', requestModel: 'claude-sonnet-4-5' },
    outcome: completed(
      reply(
        {
          input_tokens: 10,
          cache_creation_input_tokens: 1_000,
          cache_read_input_tokens: 2_000,
          cache_creation: { ephemeral_1h_input_tokens: 400 },
          output_tokens: 100,
        },
        { model: 'claude-sonnet-4-5-20250929' },
      ),
    ),
    is: [3_010, 100, 'reported', 30_000 + 600 * 3_750 + 400 * 6_000 + 2_000 * 300 + 100 * 15_000],
  },
  {
    name: 'searches of the web and of files',
    outcome: withTools([
      search,
      { ...search, action: { type: 'open_page', url: 'https://example.com' } },
      { ...search, action: undefined },
      { ...search, status: 'failed' },
      { type: 'file_search_call', status: 'completed' },
    ]),
    is: [1_000, 100, 'reported', 3_500_000 + 2 * 10_000_000 + 2_500_000],
  },
  {
    name: 'a tool that nobody has a price for',
    outcome: withTools([{ type: 'code_interpreter_call', status: 'completed' }]),
    is: [1_000, 100, 'reported', null],
  },
  {
    name: 'an older search, whose price depends on the model',
    outcome: withTools([search], [{ type: 'web_search_preview' }]),
    is: [1_000, 100, 'reported', null],
  },
  {
    name: 'a model that searches before each answer, aborted before the first byte',
    input: { requestModel: 'gpt-4o-search-preview' },
    outcome: { status: 'aborted', isAsked: true },
    is: [askedTokens, 0, 'estimated', null],
  },
  {
    name: 'searches that the usage tells of',
    input: { provider: 'anthropic', requestModel: 'claude-sonnet-4-5' },
    outcome: completed(
      reply(
        { input_tokens: 1_000, output_tokens: 100, server_tool_use: { web_search_requests: 3 } },
        { model: 'claude-sonnet-4-5-20250929' },
      ),
    ),
    is: [1_000, 100, 'reported', 1_000 * 3_000 + 100 * 15_000 + 3 * 10_000_000],
  },
  {
    name: 'a model that searches before each answer, at a price that is not listed',
    input: { requestModel: 'gpt-4o-search-preview' },
    outcome: completed(reply(reported, { model: 'gpt-4o-search-preview-2025-03-11' })),
    is: [1_000, 100, 'reported', null],
  },
  {
    name: 'searches that are in the price of the call',
    input: { provider: 'perplexity', requestModel: 'sonar' },
    outcome: completed(reply({ ...reported, num_search_queries: 2 }, { model: 'sonar' })),
    is: [1_000, 100, 'reported', 1_000_000 + 100_000 + 12_000_000],
  },
  {
    name: 'searches, by a provider that says what it charges in all',
    input: { provider: 'perplexity', requestModel: 'sonar' },
    outcome: completed(
      reply(
        { ...reported, num_search_queries: 2, cost: { request_cost: 0.005, total_cost: 0.0061 } },
        { model: 'sonar' },
      ),
    ),
    is: [1_000, 100, 'reported', 6_100_000],
  },
  {
    name: 'whole, without usage',
    outcome: completed(reply(null)),
    is: [askedTokens, saidTokens, 'estimated', askedTokens * 2_500 + saidTokens * 10_000],
  },
  {
    name: 'whole, with zeros for usage',
    outcome: completed(reply({ prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 })),
    is: [askedTokens, saidTokens, 'estimated', askedTokens * 2_500 + saidTokens * 10_000],
  },
  {
    name: 'whole, of a faster service',
    outcome: completed(reply(reported, { service_tier: 'priority' })),
    is: [1_000, 100, 'reported', null],
  },
  {
    name: 'whole, of a model without a price',
    input: { provider: 'acme' },
    outcome: completed(reply(reported)),
    is: [1_000, 100, 'reported', null],
  },
  {
    name: 'whole, of a provider that says what it charges',
    input: { provider: 'openrouter' },
    outcome: completed(reply({ ...reported, cost: 0.00123, is_byok: false }, { service_tier: 'priority' })),
    is: [1_000, 100, 'reported', 1_230_000],
  },
  {
    name: 'whole, of one that says so and is not known to mean dollars',
    outcome: completed(reply({ ...reported, cost: 0.00123 })),
    is: [1_000, 100, 'reported', 3_500_000],
  },
  {
    name: 'whole, of Stele itself',
    input: { provider: 'echo' },
    outcome: completed(reply(reported)),
    is: [1_000, 100, 'reported', 0],
  },
  {
    name: 'streamed',
    outcome: {
      ...completed(Buffer.from('data: [DONE]\n\n')),
      reply: { ...broken, finishReasons: ['stop'], usage: { inputTokens: 1_000, outputTokens: 100 } },
    },
    is: [1_000, 100, 'reported', 3_500_000],
  },
  {
    name: 'streamed, without usage',
    outcome: { ...completed(Buffer.from('data: [DONE]\n\n')), reply: { ...broken, finishReasons: ['stop'] } },
    is: [askedTokens, saidTokens, 'estimated', askedTokens * 2_500 + saidTokens * 10_000],
  },
  {
    name: 'aborted in the middle',
    outcome: { status: 'aborted', httpStatus: 200, reply: broken },
    is: [askedTokens, saidTokens, 'estimated', askedTokens * 2_500 + saidTokens * 10_000],
  },
  {
    name: 'aborted before the first byte',
    outcome: { status: 'aborted', isAsked: true },
    is: [askedTokens, 0, 'estimated', askedTokens * 2_500],
  },
  {
    name: 'aborted before anybody was asked',
    outcome: { status: 'aborted', isAsked: false },
    is: [null, null, null, 0],
  },
  {
    name: 'failed in the middle',
    outcome: { status: 'failed', httpStatus: 200, reply: broken, errorCode: 'provider_stream_truncated' },
    is: [askedTokens, saidTokens, 'estimated', askedTokens * 2_500 + saidTokens * 10_000],
  },
  {
    name: 'failed, and told what it took',
    outcome: {
      status: 'failed',
      httpStatus: 500,
      reply: { finishReasons: [], usage: { inputTokens: 1_000, outputTokens: 0 } },
    },
    is: [1_000, 0, 'reported', 2_500_000],
  },
  { name: 'refused', outcome: { status: 'failed', httpStatus: 429 }, is: [null, null, null, 0] },
  {
    name: 'not reached',
    outcome: { status: 'failed', isAsked: false, errorCode: 'provider_unreachable' },
    is: [null, null, null, 0],
  },
  {
    name: 'never answered',
    outcome: { status: 'failed', isAsked: true, errorCode: 'provider_timeout' },
    is: [null, null, null, null],
  },
  {
    name: 'answered with something unreadable',
    outcome: { status: 'failed', httpStatus: 200, body: 'no JSON' },
    is: [null, null, null, null],
  },
  {
    name: 'from the cache',
    outcome: { status: 'cached', body: reply(reported) },
    is: [1_000, 100, 'reported', 0],
  },
  {
    name: 'by an application that knows the cost',
    outcome: completed(reply(reported), { costNanousd: 42 }),
    is: [1_000, 100, 'reported', 42],
  },
  {
    name: 'embeddings',
    body: parsePlainRequest(
      'embeddings',
      JSON.stringify({ model: 'text-embedding-3-small', input: 'Paris' }),
    ),
    input: { requestModel: 'text-embedding-3-small' },
    outcome: completed('{}', {
      reply: { finishReasons: [], usage: { inputTokens: 1_000 }, responseModel: 'text-embedding-3-small' },
    }),
    is: [1_000, null, 'reported', 20_000],
  },
  {
    name: 'embeddings, without usage',
    body: parsePlainRequest(
      'embeddings',
      JSON.stringify({ model: 'text-embedding-3-small', input: 'Paris' }),
    ),
    input: { requestModel: 'text-embedding-3-small' },
    outcome: completed('{}', { reply: { finishReasons: [], usage: {} } }),
    is: [1, null, 'estimated', 20],
  },
  {
    name: 'a legacy completion, streamed without usage',
    body: parsePlainRequest(
      'completions',
      JSON.stringify({ model: 'gpt-3.5-turbo-instruct', prompt: 'Once' }),
    ),
    input: { requestModel: 'gpt-3.5-turbo-instruct' },
    outcome: completed(
      Buffer.from(
        'data: {"choices":[{"text":" upon a"}]}\n\ndata: {"choices":[{"text":" time"}]}\n\ndata: [DONE]\n\n',
      ),
      { reply: { finishReasons: ['stop'], usage: {} } },
    ),
    is: [1, 3, 'estimated', 1 * 1_500 + 3 * 2_000],
  },
  {
    name: 'a moderation, which is free',
    body: parsePlainRequest('moderations', JSON.stringify({ model: 'omni-moderation-latest', input: 'x' })),
    input: { requestModel: 'omni-moderation-latest' },
    outcome: completed('{}', { reply: { finishReasons: [], usage: {} } }),
    is: [null, null, null, 0],
  },
]
