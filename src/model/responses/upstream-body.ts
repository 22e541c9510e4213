import { arrayElements } from '../json-text.ts'
import type { ResponseRequest } from './request.ts'

/**
 * The request as a provider gets it that speaks Responses itself: every member as its client wrote it, but for the model's
 * name, and for what names state: that is with Stele, so it is spelled out, and not kept over there.
 * @param history input items that stand for the conversation so far
 */
export function upstreamResponseBody(
  { text, members }: ResponseRequest,
  model: string,
  history: readonly unknown[],
): string {
  const kept = members.filter(({ name }) => !replaced.has(name) && (name !== 'input' || history.length === 0))
  const written = kept.map(({ name, start, end }) => `${JSON.stringify(name)}:${text.slice(start, end)}`)
  if (history.length > 0)
    written.push(
      `"input":[${[...history.map(item => JSON.stringify(item)), ...given(text, members)].join(',')}]`,
    )
  return `{"model":${JSON.stringify(model)},${[...written, '"store":false'].join(',')}}`
}

const replaced: ReadonlySet<string> = new Set([
  'model',
  'previous_response_id',
  'conversation',
  'store',
  'background',
])

/** The texts of the input items that the client gave. */
function given(text: string, members: ResponseRequest['members']): string[] {
  const input = members.find(({ name }) => name === 'input')
  if (input === undefined) return []
  const value = text.slice(input.start, input.end)
  if (value.startsWith('[')) return arrayElements(value, 0).map(({ start, end }) => value.slice(start, end))
  return value.startsWith('"') ? [`{"role":"user","content":${value}}`] : []
}
