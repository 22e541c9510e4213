import { z } from 'zod'
import { SteleError } from '../errors.ts'
import { type ChatRequest, parseChatRequest } from './chat-request.ts'
import { checked, listOf, readObject, word } from './json-body.ts'
import { objectMembers, type Span } from './json-text.ts'

/** How many models can be compared. */
const fewest = 2
const most = 8

const comparisonBody = z.looseObject({
  models: listOf(word).refine(
    ({ length }) => length >= fewest && length <= most,
    `name ${fewest} to ${most} models`,
  ),
})

/**
 * Reads the body of `POST /v1/comparisons`: that of a chat completion with several `models` in place of the `model`. Returns
 * the chat completions that it asks for, each in the client's own words but for that; one model may be asked twice.
 * @throws SteleError as `parseChatRequest` does
 */
export function parseComparison(body: Uint8Array | string): readonly [ChatRequest, ...ChatRequest[]] {
  const read = readObject(body)
  const { models } = checked(comparisonBody, read)
  if ('model' in read.value)
    throw new SteleError('invalid_value', { name: 'model', reason: 'name all in models' }, { param: 'model' })
  const { text } = read
  const members = objectMembers(text)
  const at = members.findIndex(({ name }) => name === 'models')
  const [given, firstModel] = [members[at], models[0]]
  if (given === undefined || firstModel === undefined)
    throw new SteleError('missing_required_parameter', { name: 'models' }, { param: 'models' })
  const nameAt = text.indexOf('"', members[at - 1]?.end ?? 0)
  const model = `"model":${JSON.stringify(firstModel)}`
  const first = parseChatRequest(text.slice(0, nameAt) + model + text.slice(given.end), { isStrict: true })
  return [first, ...models.slice(1).map(each => forModel(first, each))]
}

/** The same request of another model. Its messages are shared: what is asked of many is held once. */
function forModel(request: ChatRequest, model: string): ChatRequest {
  const { text, members, messageSpans, value } = request
  const place = members.find(({ name }) => name === 'model') ?? { start: 0, end: 0 }
  const named = JSON.stringify(model)
  const by = named.length - (place.end - place.start)
  const moved = <S extends Span>(span: S): S => ({
    ...span,
    start: span.start + (span.start >= place.end ? by : 0),
    end: span.end + (span.end >= place.end ? by : 0),
  })
  return {
    ...request,
    text: text.slice(0, place.start) + named + text.slice(place.end),
    value: { ...value, model },
    members: members.map(moved),
    messageSpans: messageSpans.map(moved),
    model,
  }
}
