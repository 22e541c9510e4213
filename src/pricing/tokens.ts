import { createRequire } from 'node:module'
import type { GptEncoding } from 'gpt-tokenizer/GptEncoding'
import { isFields } from '../model/reply.ts'

type Encoding = Pick<GptEncoding, 'countTokens'>

type EncodingName = 'o200k_base' | 'cl100k_base' | 'p50k_base' | 'r50k_base'

const load = createRequire(import.meta.url)

/** Literal names, so that what packs a program sees them. Each takes a fifth of a second and some 40 MB, once. */
const loaders: Readonly<Record<EncodingName, () => Encoding>> = {
  o200k_base: () => load('gpt-tokenizer/encoding/o200k_base') as Encoding,
  cl100k_base: () => load('gpt-tokenizer/encoding/cl100k_base') as Encoding,
  p50k_base: () => load('gpt-tokenizer/encoding/p50k_base') as Encoding,
  r50k_base: () => load('gpt-tokenizer/encoding/r50k_base') as Encoding,
}

const loaded = new Map<EncodingName, Encoding>()

/** Characters of a text that are counted; what follows is taken to be like it. */
const maxCounted = 4_000_000
/** A word is encoded in a time that grows with the square of its length: longer ones are counted in pieces. */
const maxWord = 400
const longWord = new RegExp(`[^\\s]{${maxWord + 1}}|\\s{${maxWord + 1}}`)

/**
 * How many tokens a model makes of a text: exactly for OpenAI's models, for others as the newest of them would. The first
 * text of an encoding waits until it is loaded, a fifth of a second; `count-thread.ts` does the same beside the event loop.
 */
export function countTokens(model: string, text: string): number {
  if (text.length > maxCounted) {
    const counted = countTokens(model, text.slice(0, maxCounted))
    return Math.ceil((counted * text.length) / maxCounted)
  }
  const encoding = encodingOf(model)
  if (!longWord.test(text)) return encoding.countTokens(text, asText)
  let sum = 0
  for (let at = 0; at < text.length; at += maxWord)
    sum += encoding.countTokens(text.slice(at, at + maxWord), asText)
  return sum
}

/** What looks like a special token in a text is text. */
const asText = { disallowedSpecial: new Set<string>() }

function encodingOf(model: string): Encoding {
  const name = encodingName(model)
  let encoding = loaded.get(name)
  if (encoding === undefined) {
    encoding = loaders[name]()
    loaded.set(name, encoding)
  }
  return encoding
}

/** The encoding of a model, whatever stands before its name: a provider, `ft:`. */
export function encodingName(model: string): EncodingName {
  const name = model.toLowerCase().replace(/^.*\//, '').replace(/^ft:/, '')
  if (/^(gpt-4(?![o.\d])|gpt-3\.5|gpt-35|text-embedding|babbage-002|davinci-002)/.test(name))
    return 'cl100k_base'
  if (/^(text-davinci-00[23]|code-)/.test(name)) return 'p50k_base'
  if (/^(ada|babbage|curie|davinci|text-(ada|babbage|curie|davinci))\b/.test(name)) return 'r50k_base'
  return 'o200k_base'
}

/**
 * How many tokens a text comes to without a tokenizer: a quarter of its ASCII characters, and of others half for each byte
 * beyond the first. Takes no time to speak of; within a third of the truth for most prose.
 */
export function quickTokens(text: string): number {
  const extra = (Buffer.byteLength(text) - text.length) / 2
  return Math.ceil((text.length - extra) / 4 + extra)
}

/** What a model reads of a request. */
export interface Prompt {
  readonly texts: readonly string[]
  /** Tokens that no text stands for: what frames messages, images, tokens given as numbers. */
  readonly others: number
  /** What it holds or asks for that has a price of its own. */
  readonly hasAudio?: true | undefined
  readonly marksCache?: true | undefined
}

/** What OpenAI's models take for each message around it, and before their answer. */
const perMessage = 4
const perAnswer = 3
/** An image of a megapixel; its size is not looked at. */
const perImage = 765

/** A request as its call was begun with: messages that stand apart, and the JSON value of the rest. */
export interface CountedRequest {
  readonly value: Readonly<Record<string, unknown>>
  readonly messages?: readonly { readonly value: unknown }[] | undefined
  readonly preface?: readonly { readonly value: unknown }[] | undefined
}

/** The same of a request's JSON text in the words of its operation. */
export function countedText(text: string): CountedRequest {
  const value = JSON.parse(text) as CountedRequest['value']
  const said = [value['messages'], value['input']].find(list => Array.isArray(list) && list.some(isFields))
  return Array.isArray(said) ? { value, messages: said.map(each => ({ value: each as unknown })) } : { value }
}

export function promptOf({ value, messages, preface = [] }: CountedRequest): Prompt {
  const texts: string[] = []
  let others = messages === undefined ? 0 : perAnswer
  let hasAudio: true | undefined = isFields(value['audio']) || undefined
  let marksCache: true | undefined = isFields(value['cache_control']) || undefined
  const read = (part: unknown): void => {
    if (typeof part === 'string') texts.push(part)
    else if (typeof part === 'number') others++
    else if (Array.isArray(part)) for (const each of part) read(each)
    else if (isFields(part)) readFields(part)
  }
  const readFields = (part: Readonly<Record<string, unknown>>): void => {
    const type = part['type']
    if (type === 'image_url' || type === 'input_image') others += perImage
    if (type === 'input_audio') hasAudio = true
    if (part['cache_control'] !== undefined) marksCache = true
    if (typeof type === 'string' && unreadable.has(type)) return
    for (const name of ['content', 'text', 'refusal', 'name', 'output', 'arguments', 'input'])
      read(part[name])
    for (const name of ['function', 'function_call', 'custom', 'tool_calls']) read(part[name])
  }
  for (const message of [...preface, ...(messages ?? [])]) {
    others += perMessage
    read(message.value)
  }
  if (messages === undefined) for (const name of ['input', 'prompt', 'suffix']) read(value[name])
  read(value['instructions'])
  for (const name of ['tools', 'functions', 'response_format', 'text'])
    if (isFields(value[name]) || Array.isArray(value[name])) texts.push(JSON.stringify(value[name]))
  if (Array.isArray(value['tools']) && value['tools'].some(tool => isFields(tool) && 'cache_control' in tool))
    marksCache = true
  return { texts, others, hasAudio, marksCache }
}

/** Parts whose size in tokens their text does not tell. */
const unreadable: ReadonlySet<string> = new Set([
  'image_url',
  'input_image',
  'input_audio',
  'file',
  'input_file',
])
