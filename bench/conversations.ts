/**
 * What the size of a conversation, and the number of a user's conversations, cost: the newest page and an append in one of
 * 100 messages and in one of 100,000; the first page of the conversations of a user who has 100 and of one who has 100,000.
 *
 *   npm run bench:conversations -- [--large 100000] [--repetitions 250]
 *
 * Both sizes lie in one database and are measured in turns, on SQLite and then on PostgreSQL. One JSON line on stdout, a
 * table on stderr.
 */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { bulkConversation, bulkConversations } from './lib/conversation-rows.ts'
import { printResult, say, table } from './lib/report.ts'
import { median, round } from './lib/statistics.ts'
import { openForBench, type Stele } from './lib/stele.ts'
import { temporaryDirectory } from './lib/temporary-directory.ts'
import { startPostgres } from './lib/temporary-postgres.ts'
import { loadTexts } from './lib/texts.ts'

const { values: flags } = parseArgs({
  options: {
    large: { type: 'string', default: '100000' },
    repetitions: { type: 'string', default: '250' },
  },
})
const SMALL = 100
const WARM_UP = 30
const PAGE = 50
const large = Number(flags.large)
const repetitions = Number(flags.repetitions)
const { texts, source } = loadTexts()

interface Side {
  readonly userId: string
  readonly conversationId: string
  /** Who has this many conversations. */
  readonly collector: string
}

async function build(stele: Stele, name: string, size: number): Promise<Side> {
  const userId = `talker-${name}`
  const collector = `collector-${name}`
  await stele.users.create(userId)
  await stele.users.create(collector)
  const conversationId = await bulkConversation(stele, userId, texts, size)
  await bulkConversations(stele, collector, texts, size)
  return { userId, conversationId, collector }
}

async function micros(work: () => Promise<readonly unknown[]>, expected: number): Promise<number> {
  const start = performance.now()
  const { length } = await work()
  const taken = (performance.now() - start) * 1000
  if (length !== expected) throw new Error(`${length} rows where ${expected} were expected`)
  return taken
}

async function measure(name: string, databaseUrl: string) {
  const stele = await openForBench(databaseUrl)
  try {
    say(`Building on ${name}`)
    const sides = {
      small: await build(stele, 'small', SMALL),
      large: await build(stele, 'large', large),
    }
    const operations = {
      messagePage: ({ userId, conversationId }: Side) =>
        micros(() => stele.messages.list({ userId, conversationId, limit: PAGE }), PAGE),
      append: ({ userId, conversationId }: Side) => {
        const message = { role: 'user', content: texts[0] ?? '' }
        return micros(() => stele.messages.append({ userId, conversationId, messages: [{ message }] }), 1)
      },
      conversationPage: ({ collector: userId }: Side) =>
        micros(() => stele.conversations.list({ userId, limit: PAGE }), PAGE),
      recentPage: ({ collector: userId }: Side) =>
        micros(() => stele.conversations.list({ userId, limit: PAGE, recent: true }), PAGE),
    }
    const results = []
    for (const [operation, run] of Object.entries(operations)) {
      const taken = { small: [] as number[], large: [] as number[] }
      // Whoever comes first in a pair has no advantage over all of them.
      for (let repetition = -WARM_UP; repetition < repetitions; repetition++)
        for (const size of repetition % 2 === 0
          ? (['small', 'large'] as const)
          : (['large', 'small'] as const)) {
          const time = await run(sides[size])
          if (repetition >= 0) taken[size].push(time)
        }
      results.push({
        operation,
        small: round(median(taken.small)),
        large: round(median(taken.large)),
        // Of two that were measured one right after the other, for the machine is not as busy all the time.
        ratio: round(median(taken.large.map((time, pair) => time / (taken.small[pair] ?? Number.NaN)))),
      })
    }
    return results
  } finally {
    await stele.close()
  }
}

await using cleanup = new AsyncDisposableStack()
const directory = await temporaryDirectory('conversations')
cleanup.defer(() => directory.remove())
const server = await startPostgres()
cleanup.defer(() => server.stop())

const databases = {
  sqlite: await measure('SQLite', `sqlite:${join(directory.path, 'stele.db')}`),
  postgresql: await measure('PostgreSQL', server.url),
}
table([
  ['operation', `µs at ${SMALL}`, `µs at ${large}`, 'ratio'],
  ...Object.entries(databases).flatMap(([database, results]) =>
    results.map(({ operation, small, large, ratio }) => [`${database} ${operation}`, small, large, ratio]),
  ),
])
const ratios = Object.fromEntries(
  Object.entries(databases).map(([database, results]) => [
    database,
    Object.fromEntries(results.map(({ operation, ratio }) => [operation, ratio])),
  ]),
)
printResult({
  bench: 'conversations',
  small: SMALL,
  large,
  ratios,
  worst: Math.max(...Object.values(databases).flatMap(results => results.map(({ ratio }) => ratio))),
  texts: source,
})
