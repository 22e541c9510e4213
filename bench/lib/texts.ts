import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { rootDirectory } from './peers.ts'

/** Mean size of an MT-bench message; generated texts are made this long. */
const TYPICAL_BYTES = 387

/**
 * Texts to talk about: the MT-bench questions when `../shared/data` is beside the project, else generated ones of the
 * same mean size. Say `source` in the output, for results over the two are not quite comparable.
 */
export function loadTexts(): { texts: readonly string[]; source: 'mt-bench' | 'generated' } {
  const file = join(rootDirectory, '..', 'shared', 'data', 'mt-bench-questions.jsonl')
  if (!existsSync(file)) return { texts: generatedTexts(), source: 'generated' }
  const texts = readFileSync(file, 'utf8')
    .split('\n')
    .filter(line => line.trim() !== '')
    .flatMap(line => (JSON.parse(line) as { turns: string[] }).turns)
  return { texts, source: 'mt-bench' }
}

/** Eighty English-looking texts of {@link TYPICAL_BYTES} bytes, the same in every run. */
export function generatedTexts(): string[] {
  const words = 'the record of each call is written before its reply ends so nothing said is lost'.split(' ')
  return Array.from({ length: 80 }, (_, seed) => {
    let text = ''
    for (let i = seed + 1; text.length < TYPICAL_BYTES; i = (i * 31 + 7) % 1009)
      text += `${words[i % words.length]} `
    return text.slice(0, TYPICAL_BYTES)
  })
}

/** The text at `n`, going round, with a suffix that makes it unique: nothing may deduplicate or thread by accident. */
export function uniqueText(texts: readonly string[], n: number, run: string): string {
  return `${texts[n % texts.length] ?? ''} [#${run}-${n}]`
}

/** A chat completion request of one user message. */
export function requestBody(content: string): string {
  return `{"model":"bench-model","messages":[{"role":"user","content":${JSON.stringify(content)}}]}`
}

const REPLY =
  'A record is useful when it can be found again, when it says what happened in the order it happened, and when nobody can ' +
  'quietly change it afterwards. Write it first, then answer; the answer may be repeated, the record may not be invented.'

/** A chat completion of about 600 bytes with usage, as an OpenAI-compatible server writes it; `mark` makes it unique. */
export function replyBody(mark: string): string {
  const content = JSON.stringify(`${REPLY} ${mark}`)
  return (
    `{"id":"chatcmpl-${mark}","object":"chat.completion","created":1760000000,"model":"bench-model-2025",` +
    `"choices":[{"index":0,"message":{"role":"assistant","content":${content},"refusal":null},"logprobs":null,` +
    `"finish_reason":"stop"}],"usage":{"prompt_tokens":97,"completion_tokens":101,"total_tokens":198},` +
    `"system_fingerprint":"fp_bench"}`
  )
}

/** The same reply as the chunks of a stream, usage last. */
export function replyChunks(mark: string): string[] {
  const head = `{"id":"chatcmpl-${mark}","object":"chat.completion.chunk","created":1760000000,"model":"bench-model-2025",`
  const choice = (delta: unknown, finish: string | null) =>
    `${head}"choices":[{"index":0,"delta":${JSON.stringify(delta)},"finish_reason":${JSON.stringify(finish)}}]}`
  const words = `${REPLY} ${mark}`.match(/\S+\s*/g) ?? []
  return [
    choice({ role: 'assistant', content: '' }, null),
    ...words.map(content => choice({ content }, null)),
    choice({}, 'stop'),
    `${head}"choices":[],"usage":{"prompt_tokens":97,"completion_tokens":101,"total_tokens":198}}`,
  ]
}
