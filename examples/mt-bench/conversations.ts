import OpenAI from 'openai'
import type { Question } from './questions.ts'

/** One call as the client saw it. */
export interface Turn {
  readonly questionId: number
  readonly callId: string
  readonly conversationId: string
  /** The body the client sent and the one it got, byte for byte. */
  readonly sent: string
  readonly received: string
}

const atOnce = 8

/** Asks every question, both turns; the second turn sends the first again, as clients do. */
export async function runConversations(
  { baseUrl, apiKey }: { baseUrl: string; apiKey: string },
  questions: readonly Question[],
  onTurn: () => void,
): Promise<Turn[]> {
  const turns: Turn[] = []
  const waiting = [...questions]
  const ask = async (): Promise<void> => {
    for (let question = waiting.shift(); question !== undefined; question = waiting.shift()) {
      turns.push(...(await askQuestion(baseUrl, apiKey, question, onTurn)))
    }
  }
  await Promise.all(Array.from({ length: atOnce }, ask))
  return turns
}

async function askQuestion(
  baseUrl: string,
  apiKey: string,
  question: Question,
  onTurn: () => void,
): Promise<Turn[]> {
  const turns: Turn[] = []
  const bodies = { sent: '', received: '' }
  const client = new OpenAI({
    baseURL: baseUrl,
    apiKey,
    fetch: async (url, init) => {
      bodies.sent = String(init?.body)
      const response = await fetch(url, init)
      bodies.received = await response.clone().text()
      return response
    },
  })
  const messages: OpenAI.ChatCompletionMessageParam[] = []
  for (const content of question.turns) {
    messages.push({ role: 'user', content })
    const { data, response } = await client.chat.completions
      .create({ model: 'gpt-4', messages })
      .withResponse()
    const reply = data.choices[0]?.message
    if (reply !== undefined) messages.push({ role: 'assistant', content: reply.content })
    turns.push({
      questionId: question.id,
      callId: response.headers.get('x-stele-call-id') ?? '',
      conversationId: response.headers.get('x-stele-conversation') ?? '',
      ...bodies,
    })
    onTurn()
  }
  return turns
}
