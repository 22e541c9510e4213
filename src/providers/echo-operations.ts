import { createHash, randomUUID } from 'node:crypto'
import { isFields } from '../model/reply.ts'
import type { ForwardedOperation, ForwardedRequest, ProviderResponse } from './provider.ts'
import { readyBody } from './provider.ts'

/** What the echo has beside chat. */
export const echoOperations: ReadonlySet<ForwardedOperation> = new Set([
  'embeddings',
  'moderations',
  'completions',
])

const defaultDimensions = 256
const maxDimensions = 4_096
const maxChoices = 128
/** What a reply may hold: a request of a few bytes could else ask for gigabytes. */
const maxNumbers = 2_000_000
const maxCharacters = 32 * 1024 * 1024

/** Answers without a network and always the same: words become vectors, nothing is flagged, prompts come back. */
export async function echoOperation({ operation, body }: ForwardedRequest): Promise<ProviderResponse> {
  const request = JSON.parse(body) as Fields
  try {
    if (operation === 'embeddings') return whole(embeddings(request))
    if (operation === 'moderations') return whole(moderation(request))
    return completion(request)
  } catch (error) {
    if (!(error instanceof BadParameter)) throw error
    const { message, param } = error
    return whole({ error: { message, type: 'invalid_request_error', param, code: null } }, 400)
  }
}

type Fields = Readonly<Record<string, unknown>>

/** Text, or the numbers of tokens. */
type Input = string | readonly number[]

class BadParameter extends Error {
  readonly param: string

  constructor(param: string, expected: string) {
    super(`Invalid '${param}': expected ${expected}.`)
    this.param = param
  }
}

function embeddings(request: Fields): object {
  const inputs = inputsOf(request['input'], 'input')
  const dimensions = integer(request, 'dimensions', defaultDimensions, maxDimensions)
  const format = request['encoding_format'] ?? 'float'
  if (format !== 'float' && format !== 'base64')
    throw new BadParameter('encoding_format', "'float' or 'base64'")
  if (inputs.length * dimensions > maxNumbers)
    throw new BadParameter('input', `at most ${Math.floor(maxNumbers / dimensions)} inputs`)
  const tokens = inputs.reduce((sum, input) => sum + tokensOf(input).length, 0)
  return {
    object: 'list',
    data: inputs.map((input, index) => {
      const vector = embeddingOf(tokensOf(input), dimensions)
      return { object: 'embedding', index, embedding: format === 'float' ? [...vector] : base64Of(vector) }
    }),
    model: request['model'],
    usage: { prompt_tokens: tokens, total_tokens: tokens },
  }
}

/** How many places of a vector each word changes: texts that share words come to lie near each other. */
const placesPerWord = 8

/** A vector of length 1. */
function embeddingOf(words: readonly string[], dimensions: number): Float32Array {
  const sums = new Float64Array(dimensions)
  for (const word of words) {
    const digest = createHash('sha512').update(word.trim().toLowerCase()).digest()
    for (let place = 0; place < placesPerWord; place++) {
      const bits = digest.readUInt32LE(place * 4)
      const at = (bits >>> 1) % dimensions
      sums[at] = (sums[at] ?? 0) + (bits & 1 ? 1 : -1)
    }
  }
  const length = Math.hypot(...sums)
  // No words, or words that cancel each other out: any direction will do, as long as it is always the same.
  if (length === 0) return Float32Array.of(1, ...new Float32Array(dimensions - 1))
  return Float32Array.from(sums, sum => sum / length)
}

function base64Of(vector: Float32Array): string {
  const bytes = Buffer.alloc(vector.length * 4)
  for (const [index, value] of vector.entries()) bytes.writeFloatLE(value, index * 4)
  return bytes.toString('base64')
}

const categories = [
  'harassment',
  'harassment/threatening',
  'hate',
  'hate/threatening',
  'illicit',
  'illicit/violent',
  'self-harm',
  'self-harm/instructions',
  'self-harm/intent',
  'sexual',
  'sexual/minors',
  'violence',
  'violence/graphic',
]

/** The categories in which images are looked at too. */
const seenInImages = new Set([
  'self-harm',
  'self-harm/instructions',
  'self-harm/intent',
  'sexual',
  'violence',
  'violence/graphic',
])

function moderation(request: Fields): object {
  const { input } = request
  // Parts of one thing to look at, or several texts.
  const parts = Array.isArray(input) && input.every(isFields) && input.length > 0 ? input : undefined
  const count = parts === undefined ? inputsOf(input, 'input').length : 1
  const hasImage = parts?.some(part => part['type'] === 'image_url') === true
  const hasText = parts === undefined || parts.some(part => part['type'] === 'text')
  const each = <T>(value: (name: string) => T) =>
    Object.fromEntries(categories.map(name => [name, value(name)]))
  return {
    id: `modr-${randomUUID()}`,
    model: request['model'],
    results: Array.from({ length: count }, () => ({
      flagged: false,
      categories: each(() => false),
      category_scores: each(() => 0),
      category_applied_input_types: each(name => [
        ...(hasText ? ['text'] : []),
        ...(hasImage && seenInImages.has(name) ? ['image'] : []),
      ]),
    })),
  }
}

function completion(request: Fields): ProviderResponse {
  const prompts = inputsOf(request['prompt'] ?? '', 'prompt')
  const copies = integer(request, 'n', 1, maxChoices)
  const repeats = request['echo'] === true ? 2 : 1
  const characters = prompts.reduce((sum, prompt) => sum + tokensOf(prompt).join('').length, 0)
  if (characters * copies * repeats > maxCharacters || prompts.length * copies > maxNumbers)
    throw new BadParameter('n', 'less text in all')
  const choices = prompts.flatMap(prompt =>
    Array.from({ length: copies }, () => Array.from({ length: repeats }, () => tokensOf(prompt)).flat()),
  )
  const promptTokens = prompts.reduce((sum, prompt) => sum + tokensOf(prompt).length, 0)
  const completionTokens = promptTokens * copies
  const usage = {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
  }
  const head = {
    id: `cmpl-${randomUUID()}`,
    object: 'text_completion',
    created: Math.floor(Date.now() / 1000),
    model: request['model'],
  }
  const choice = (index: number, text: string, finish: 'stop' | null) => ({
    text,
    index,
    logprobs: null,
    finish_reason: finish,
  })
  if (request['stream'] !== true)
    return whole({
      ...head,
      choices: choices.map((words, index) => choice(index, words.join(''), 'stop')),
      usage,
    })

  const options = request['stream_options']
  const chunks = [
    ...choices.flatMap((words, index) => [
      ...words.map(word => ({ ...head, choices: [choice(index, word, null)] })),
      { ...head, choices: [choice(index, '', 'stop')] },
    ]),
    ...(isFields(options) && options['include_usage'] === true ? [{ ...head, choices: [], usage }] : []),
  ]
  const events = chunks.map(chunk => `data: ${JSON.stringify(chunk)}\n\n`)
  return {
    status: 200,
    contentType: 'text/event-stream',
    headers: {},
    body: readyBody([...events, 'data: [DONE]\n\n']),
  }
}

function whole(value: object, status = 200): ProviderResponse {
  return { status, contentType: 'application/json', headers: {}, body: readyBody([JSON.stringify(value)]) }
}

/** A text, several, the tokens of one, or of several. */
function inputsOf(given: unknown, param: string): readonly Input[] {
  const expected = 'a string, or an array of strings or of tokens'
  if (typeof given === 'string') return [given]
  if (!Array.isArray(given) || given.length === 0) throw new BadParameter(param, expected)
  if (given.every(isToken)) return [given]
  if (given.every(each => typeof each === 'string')) return given
  if (given.every(each => Array.isArray(each) && each.length > 0 && each.every(isToken)))
    return given as number[][]
  throw new BadParameter(param, expected)
}

function isToken(value: unknown): value is number {
  return Number.isInteger(value)
}

/** Words with the space around them; of tokens their numbers. */
function tokensOf(input: Input): readonly string[] {
  if (typeof input !== 'string') return input.map(token => `${token} `)
  return input.match(/\s*\S+\s*/g) ?? (input === '' ? [] : [input])
}

function integer(request: Fields, name: string, otherwise: number, most: number): number {
  const value = request[name] ?? otherwise
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > most)
    throw new BadParameter(name, `an integer from 1 to ${most}`)
  return value
}
