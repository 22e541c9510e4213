import { randomUUID } from 'node:crypto'
import { openForBench, recordCall, type Stele } from './stele.ts'
import { replyBody, requestBody, uniqueText } from './texts.ts'

export const WRITERS = 32
/** Few enough that at ten thousand messages each already has more calls than a page shows. */
const USERS = 50
const PAGE = 50
const PAGE_READS = 60

/** A store that is filled call by call, and what it costs to write to it and read from it. */
export interface GrowingDatabase {
  /** Messages recorded through this object. */
  readonly messages: number
  readonly stele: Stele
  /** Records until there are so many messages or the deadline (`performance.now()`) passes. */
  fill(messages: number, deadline: number): Promise<void>
  /** Microseconds a call when `calls` are recorded by {@link WRITERS} writers. */
  insertMicros(calls: number): Promise<number>
  /** Median microseconds for the newest page of one user's calls and of one conversation's messages. */
  pageMicros(): Promise<{ calls: number; messages: number }>
  close(): Promise<void>
}

export async function growingDatabase(
  databaseUrl: string,
  texts: readonly string[],
): Promise<GrowingDatabase> {
  const stele = await openForBench(databaseUrl)
  const run = randomUUID().slice(0, 8)
  let n = 0
  let messages = 0
  const record = async (until: () => boolean) => {
    await Promise.all(
      Array.from({ length: WRITERS }, async () => {
        while (!until()) {
          const serial = n++
          messages += 2
          await recordCall(
            stele,
            `user-${serial % USERS}`,
            requestBody(uniqueText(texts, serial, run)),
            replyBody(`${run}-${serial}`),
          )
        }
      }),
    )
  }
  const long = await recordConversation(stele, 'user-0', texts, PAGE, `${run}-long`)
  messages += 2 * PAGE
  return {
    get messages() {
      return messages
    },
    stele,
    fill: (target, deadline) => record(() => messages >= target || performance.now() > deadline),
    async insertMicros(calls) {
      const target = n + calls
      const start = performance.now()
      await record(() => n >= target)
      return ((performance.now() - start) * 1000) / calls
    },
    async pageMicros() {
      const callTimes: number[] = []
      const messageTimes: number[] = []
      for (let i = 0; i < PAGE_READS; i++) {
        const userId = `user-${i % USERS}`
        callTimes.push(await timed(() => stele.calls.list({ userId, limit: PAGE })))
        messageTimes.push(
          await timed(() => stele.messages.list({ userId: 'user-0', conversationId: long, limit: PAGE })),
        )
      }
      return { calls: middle(callTimes), messages: middle(messageTimes) }
    },
    close: () => stele.close(),
  }
}

/** Records a conversation as chat clients hold one, the whole history sent again with every turn; returns its id. */
export async function recordConversation(
  stele: Stele,
  userId: string,
  texts: readonly string[],
  turns: number,
  run: string,
): Promise<string> {
  const history: { role: string; content: string }[] = []
  let conversationId = ''
  for (let turn = 0; turn < turns; turn++) {
    history.push({ role: 'user', content: uniqueText(texts, turn, run) })
    const reply = replyBody(`${run}-${turn}`)
    const call = await recordCall(
      stele,
      userId,
      JSON.stringify({ model: 'bench-model', messages: history }),
      reply,
    )
    if (turn > 0 && call.conversationId !== conversationId)
      throw new Error(`turn ${turn + 1} was not recognised as the continuation of its conversation`)
    conversationId = call.conversationId ?? ''
    const { choices } = JSON.parse(reply) as { choices: [{ message: { content: string } }] }
    history.push({ role: 'assistant', content: choices[0].message.content })
  }
  return conversationId
}

/** Microseconds of a read that must return a full page: an empty page would be quick and wrong. */
async function timed(read: () => Promise<readonly unknown[]>): Promise<number> {
  const start = performance.now()
  const page = await read()
  const took = (performance.now() - start) * 1000
  if (page.length !== PAGE) throw new Error(`a page of ${PAGE} was read with ${page.length} rows`)
  return took
}

const middle = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN
