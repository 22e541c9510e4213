import { arrayElements, type Span } from '../json-text.ts'
import type { ResponseRequest } from './request.ts'

export interface UpstreamBody {
  readonly text: string
  /** Where in it the history stands; undefined without any. */
  readonly historySpan: Span | undefined
}

/**
 * The request as a provider gets it that speaks Responses itself: every member as its client wrote it, but for the model's
 * name, and for what names state: that is with Stele, so it is spelled out, and not kept over there.
 * @param history input items that stand for the conversation so far, as elements of a JSON list; '' for none
 */
export function upstreamResponseBody(
  { text, members }: ResponseRequest,
  model: string,
  history: string,
): UpstreamBody {
  const kept = members.filter(({ name }) => !replaced.has(name) && (name !== 'input' || history === ''))
  const written = [
    `"model":${JSON.stringify(model)}`,
    ...kept.map(({ name, start, end }) => `${JSON.stringify(name)}:${text.slice(start, end)}`),
  ].join(',')
  if (history === '') return { text: `{${written},"store":false}`, historySpan: undefined }
  const before = `{${written},"input":[`
  const after = given(text, members).map(item => `,${item}`)
  return {
    text: `${before}${history}${after.join('')}],"store":false}`,
    historySpan: { start: before.length, end: before.length + history.length },
  }
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
