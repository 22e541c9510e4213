import { randomUUID } from 'node:crypto'
import { completionEvents, completionText, type WrittenReply } from '../model/completion-wire.ts'
import { isFields } from '../model/reply.ts'
import { echoOperation, echoOperations } from './echo-operations.ts'
import { type Provider, readyBody } from './provider.ts'

/** Answers with the last user message. Needs no network, so a new installation can be tried before it has a provider. */
export function echoProvider(name: string): Provider {
  return {
    name,
    async chat({ request, model }) {
      const said = request.messages.findLast(({ role }) => role === 'user')?.value['content']
      const content = textOf(said)
      const asked = request.value['n']
      const choices =
        typeof asked === 'number' && Number.isInteger(asked) && asked > 1 ? Math.min(asked, 128) : 1
      const promptTokens = request.messages.reduce(
        (sum, { value }) => sum + countWords(textOf(value['content'])),
        0,
      )
      const completionTokens = countWords(content) * choices
      const reply: WrittenReply = {
        id: `chatcmpl-${randomUUID()}`,
        model,
        created: Math.floor(Date.now() / 1000),
        choices: Array.from({ length: choices }, (_, index) => ({
          index,
          message: { content },
          finishReason: 'stop',
        })),
        usage: {
          prompt_tokens: promptTokens,
          completion_tokens: completionTokens,
          total_tokens: promptTokens + completionTokens,
        },
      }
      return {
        status: 200,
        contentType: request.stream ? 'text/event-stream' : 'application/json',
        headers: {},
        body: readyBody(request.stream ? completionEvents(reply, true, words) : [completionText(reply)]),
      }
    },
    forwards: echoOperations,
    forward: echoOperation,
    models: async () => [{ id: 'echo', created: 0, ownedBy: 'stele' }],
    close: async () => undefined,
  }
}

/** The text of a message's content, its parts joined. */
function textOf(content: unknown): string {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return ''
  return content
    .filter(isFields)
    .map(part => (typeof part['text'] === 'string' ? part['text'] : ''))
    .filter(text => text !== '')
    .join('\n')
}

/** Words with the space that follows them: what the echo counts and streams as its tokens. */
function words(text: string): string[] {
  return text.match(/\s*\S+\s*/g) ?? (text === '' ? [] : [text])
}

function countWords(text: string): number {
  return words(text).length
}
