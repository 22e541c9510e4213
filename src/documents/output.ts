import type { JsonObject } from '../model/json-object.ts'
import { maybeJson } from '../model/maybe-json.ts'
import type { AssistantMessage } from '../model/reply.ts'
import type { DocumentType } from './document-type.ts'
import { type Misfit, misfitsText } from './json-schema.ts'

/** What a reply amounts to. */
export interface ReadOutput {
  /** The document as JSON text; of a reply that is none, what it says, as a JSON string. */
  readonly text: string
  /** Why it is no document of its type; empty when it is one. */
  readonly misfits: readonly Misfit[]
  /** The reply's own words. */
  readonly said: string
}

const fenced = /^\s*```(?:json)?\s*\n([\s\S]*?)\n?\s*```\s*$/i

/** Reads a model's reply as a document: JSON, which may stand between the fences of a block of code. */
export function readOutput(type: DocumentType, message: AssistantMessage | undefined): ReadOutput {
  const said = message?.content ?? ''
  if (message?.refusal !== undefined && said === '')
    return unread(message.refusal, 'the model refused to answer')
  const text = fenced.exec(said)?.[1] ?? said
  const value = maybeJson(text)
  if (value === undefined) return unread(said, said === '' ? 'the reply is empty' : 'the reply is not JSON')
  return { text: text.trim(), misfits: type.checkOutput(value, text.length), said }
}

function unread(said: string, message: string): ReadOutput {
  return { text: JSON.stringify(said), misfits: [{ path: '', message }], said }
}

/** What a model is told whose reply was no document. */
export function repairRequest(misfits: readonly Misfit[]): string {
  const list = misfits.map(misfit => `- ${misfitsText([misfit])}`).join('\n')
  return `Your answer does not fit the JSON Schema it must have:\n${list}\nAnswer with the whole corrected JSON alone, without any other text.`
}

/** What a model is told whose provider takes no schema. */
function schemaRequest(schema: JsonObject): string {
  return `Answer with JSON alone, without any other text. It must fit this JSON Schema:\n${JSON.stringify(schema)}`
}

/** The prompt with that in it. */
export function withSchema<M extends { readonly role: string; readonly content: string }>(
  messages: readonly M[],
  schema: JsonObject,
): { readonly role: string; readonly content: string }[] {
  const asked = schemaRequest(schema)
  const [first, ...rest] = messages
  return first?.role === 'system'
    ? [{ ...first, content: `${first.content}\n\n${asked}` }, ...rest]
    : [{ role: 'system', content: asked }, ...messages]
}
