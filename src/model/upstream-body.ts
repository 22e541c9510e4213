import type { ChatRequest } from './chat-request.ts'
import { isFields } from './reply.ts'

/**
 * The request as a provider gets it: the client's own text with the model's name replaced, and usage asked for at the
 * end of a stream. Everything else stays as it was written.
 */
export function upstreamBody(request: ChatRequest, model: string, asksUsage: boolean): string {
  const edits: { start: number; end: number; text: string }[] = []
  const member = (name: string) => request.members.find(found => found.name === name)

  const modelMember = member('model')
  if (model !== request.model && modelMember !== undefined) {
    edits.push({ start: modelMember.start, end: modelMember.end, text: JSON.stringify(model) })
  }
  if (request.stream && asksUsage && !request.includeUsage) {
    const options = member('stream_options')
    const given = request.value['stream_options']
    const text = JSON.stringify({ ...(isFields(given) ? given : {}), include_usage: true })
    const end = request.members.at(-1)?.end ?? 0
    if (options === undefined) edits.push({ start: end, end, text: `,"stream_options":${text}` })
    else edits.push({ start: options.start, end: options.end, text })
  }
  return edits
    .sort((a, b) => b.start - a.start)
    .reduce((body, { start, end, text }) => body.slice(0, start) + text + body.slice(end), request.text)
}
