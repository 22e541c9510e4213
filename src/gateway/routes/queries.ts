import { keyText } from '../../model/json-object.ts'
import { invalid } from '../../model/responses/request.ts'

type Query = Readonly<Record<string, unknown>>

/** What OpenAI lets clients ask for beside items. All that is on record of an item is always in it. */
const includable: ReadonlySet<unknown> = new Set([
  'file_search_call.results',
  'web_search_call.results',
  'web_search_call.action.sources',
  'message.input_image.image_url',
  'computer_call_output.output.image_url',
  'code_interpreter_call.outputs',
  'reasoning.encrypted_content',
  'message.output_text.logprobs',
])

/** A text of a query, one of these words if some are given; undefined when it is empty or not there. @throws SteleError invalid_value */
export function wordOf<W extends string = string>(
  query: Query,
  name: string,
  words?: readonly W[],
): W | undefined {
  const given = query[name]
  if (given === undefined || given === '') return undefined
  if (typeof given !== 'string') throw invalid(name, 'send it once')
  const word = (words ?? [given as W]).find(one => one === given)
  if (word === undefined) throw invalid(name, `it must be ${words?.join(' or ')}`)
  return keyText(name, word) as W
}

/** @throws SteleError invalid_value when `include` names something that OpenAI does not know */
export function checkIncluded(query: Query): void {
  const given = [query['include'] ?? [], query['include[]'] ?? []].flat()
  for (const one of given)
    if (!includable.has(one)) throw invalid('include', `it may be ${[...includable].join(', ')}`)
}
