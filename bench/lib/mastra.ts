import { randomUUID } from 'node:crypto'
import type { MastraCompositeStore } from '@mastra/core/storage'
import { type Contender, timeTurns } from './contender.ts'
import { replyBody, uniqueText } from './texts.ts'

/**
 * Mastra's message store: a thread and the two messages of a turn, per turn, through its own storage API with its own
 * defaults. It keeps neither request, response, usage nor audit. Import after `ensurePeers()`.
 */
export async function mastraStore(
  database: { file: string } | { url: string },
  texts: readonly string[],
): Promise<Contender> {
  const memory = 'file' in database ? await openLibSql(database.file) : await openPostgres(database.url)
  let n = 0
  return {
    name: 'mastra',
    note:
      'file' in database
        ? '@mastra/libsql, its defaults: WAL, synchronous=NORMAL (a commit may be lost on power failure); thread and two messages only'
        : '@mastra/pg, its defaults and a pool of 20; thread and two messages only',
    run: (writers, seconds) =>
      timeTurns(writers, seconds, async writer => {
        const mark = `mastra-${n++}`
        const threadId = randomUUID()
        const resourceId = `user-${writer}`
        const createdAt = new Date()
        await memory.store.saveThread({
          thread: { id: threadId, resourceId, title: '', createdAt, updatedAt: createdAt, metadata: {} },
        })
        const message = (role: 'user' | 'assistant', text: string) => ({
          id: randomUUID(),
          role,
          createdAt: new Date(),
          threadId,
          resourceId,
          content: { format: 2 as const, parts: [{ type: 'text' as const, text }] },
        })
        // The reply's text is cut from the same completion that Stele is handed whole.
        const reply = JSON.parse(replyBody(mark)) as { choices: [{ message: { content: string } }] }
        await memory.store.saveMessages({
          messages: [
            message('user', uniqueText(texts, n, mark)),
            message('assistant', reply.choices[0].message.content),
          ],
        })
      }),
    close: () => memory.close(),
  }
}

async function openLibSql(file: string) {
  const { LibSQLStore } = await import('@mastra/libsql')
  const storage = new LibSQLStore({ id: 'bench', url: `file:${file}` })
  await storage.init()
  return { store: await memoryOf(storage), close: () => storage.close() }
}

async function openPostgres(url: string) {
  const { PostgresStore } = await import('@mastra/pg')
  const storage = new PostgresStore({ id: 'bench', connectionString: url })
  await storage.init()
  return { store: await memoryOf(storage), close: () => storage.close() }
}

async function memoryOf(storage: MastraCompositeStore) {
  const memory = await storage.getStore('memory')
  if (memory === undefined) throw new Error('this Mastra store has no memory domain')
  return memory
}
