import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Question } from './questions.ts'

/** What the stand-in provider received and sent, byte for byte, in the order of its replies. */
export interface JournalEntry {
  readonly id: string
  readonly request: string
  readonly reply: string
}

interface ChatBody {
  model: string
  messages: { role: string; content: string }[]
}

/** A provider on loopback that answers MT-bench questions: reference answers where known, else a remark of its own. */
export async function startUpstream(questions: readonly Question[]) {
  const journal = new Map<string, JournalEntry>()
  const answers = new Map(
    questions.flatMap(question =>
      question.turns.map(
        (turn, index) =>
          [
            turn,
            question.answers[index] ?? `No reference answer to question ${question.id}, turn ${index + 1}.`,
          ] as const,
      ),
    ),
  )
  const server = createServer((incoming, outgoing) => {
    const parts: Buffer[] = []
    incoming.on('data', (part: Buffer) => parts.push(part))
    incoming.on('end', () => {
      const request = Buffer.concat(parts).toString()
      const { model, messages } = JSON.parse(request) as ChatBody
      const content = answers.get(messages.at(-1)?.content ?? '') ?? 'I was not asked this.'
      const id = `chatcmpl-${randomUUID()}`
      const reply = completion(id, model, messages, content)
      journal.set(id, { id, request, reply })
      outgoing.writeHead(200, { 'content-type': 'application/json' }).end(reply)
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/v1`,
    journal,
    close: () => new Promise<void>(resolve => void server.close(() => resolve())),
  }
}

/** Spaced over lines, as OpenAI writes its replies. */
function completion(id: string, model: string, messages: ChatBody['messages'], content: string): string {
  const promptTokens = messages.reduce((sum, message) => sum + Math.ceil(message.content.length / 4), 0)
  const completionTokens = Math.ceil(content.length / 4)
  return JSON.stringify(
    {
      id,
      object: 'chat.completion',
      created: Math.floor(Date.now() / 1000),
      model,
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content, refusal: null },
          logprobs: null,
          finish_reason: 'stop',
        },
      ],
      usage: {
        prompt_tokens: promptTokens,
        completion_tokens: completionTokens,
        total_tokens: promptTokens + completionTokens,
      },
    },
    null,
    2,
  )
}
