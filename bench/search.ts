/**
 * How long a search takes among a user's messages, from the query to the first page with its snippets; how fast messages
 * are indexed, and how many bytes the index takes for each.
 *
 *   npm run bench:search -- [--messages 100000] [--rounds 20] [--postgres]
 *
 * All messages are one user's: other users' cost a search nothing. One JSON line on stdout, a table on stderr.
 */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { sql } from 'kysely'
import { indexEverything } from '../src/recorder/search.ts'
import { printResult, say, table } from './lib/report.ts'
import { median, round } from './lib/statistics.ts'
import { openForBench, recordCall, type Stele } from './lib/stele.ts'
import { temporaryDirectory } from './lib/temporary-directory.ts'
import { startPostgres } from './lib/temporary-postgres.ts'
import { loadTexts, replyBody, requestBody } from './lib/texts.ts'

const { values: flags } = parseArgs({
  options: {
    messages: { type: 'string', default: '100000' },
    rounds: { type: 'string', default: '20' },
    postgres: { type: 'boolean', default: false },
  },
})
const messages = Number(flags.messages)
const rounds = Number(flags.rounds)
const WRITERS = 32
const USER = 'ada'
const VOCABULARY = 20_000

/** What people search for, by how much of the index it goes through. */
const QUERIES = {
  'a word in every second message': 'the',
  'two common words': 'record order',
  'a rare word': 'zq19876',
  'a rare and a common word': 'zq777 record',
  'a phrase in every second message': '"useful when it can be found again"',
  'a phrase of common words that hardly stands anywhere': '"the record answer"',
  'a prefix': 'zq12*',
  'words without another': 'record -useful',
  'a word that is nowhere': 'nowhereatall',
} as const

const { texts, source } = loadTexts()

await using cleanup = new AsyncDisposableStack()
const directory = await temporaryDirectory('search')
cleanup.defer(() => directory.remove())
const server = flags.postgres ? await startPostgres() : undefined
if (server) cleanup.defer(() => server.stop())
const url = server === undefined ? `sqlite:${join(directory.path, 'search.db')}` : server.url
const stele = await openForBench(url)
cleanup.defer(() => stele.close())

say(`Recording ${messages} messages with ${WRITERS} writers`)
await fill(stele)
const bytesBefore = await storedBytes(stele)
const started = performance.now()
await indexEverything(stele.database, stele.recorder, (done, total) => say(`  ${done} of ${total} indexed`))
const perSecond = messages / ((performance.now() - started) / 1000)
const indexBytes = ((await storedBytes(stele)) - bytesBefore) / messages
if (flags.postgres) await sql`ANALYZE`.execute(stele.database.kysely)

const results = []
for (const [name, query] of Object.entries(QUERIES)) {
  const times: number[] = []
  let hits = 0
  for (let index = 0; index < rounds + 2; index++) {
    const start = performance.now()
    const page = await stele.search({ userId: USER, query })
    // The first two warm up what every process has warm after a moment.
    if (index >= 2) times.push(performance.now() - start)
    hits = page.hits.length
  }
  times.sort((a, b) => a - b)
  results.push({ name, hits, p50: round(median(times)), highest: round(times.at(-1) ?? Number.NaN) })
}

table([
  ['query', 'hits on the page', 'median ms', 'highest ms'],
  ...results.map(({ name, hits, p50, highest }) => [name, hits, p50, highest]),
])
say(
  `  indexed ${Math.round(perSecond)} messages a second; ${Math.round(indexBytes)} bytes of index a message`,
)
printResult({
  bench: 'search',
  database: flags.postgres ? 'postgresql' : 'sqlite',
  messages,
  slowestMedianMs: Math.max(...results.map(({ p50 }) => p50)),
  indexedPerSecond: Math.round(perSecond),
  indexBytesPerMessage: Math.round(indexBytes),
  queries: results,
  texts: source,
})

/** Half of the messages are asked, of different words; half are answers that mostly say the same. */
async function fill(stele: Stele): Promise<void> {
  let n = 0
  await Promise.all(
    Array.from({ length: WRITERS }, async () => {
      while (2 * n < messages) {
        const serial = n++
        const text = `${texts[serial % texts.length]} ${rareWords(serial)}`
        await recordCall(stele, USER, requestBody(text), replyBody(`mark${serial}`))
      }
    }),
  )
}

/** Twenty words, common ones and rare ones as in any language: the share of a word falls with its number. */
function rareWords(serial: number): string {
  return Array.from({ length: 20 }, (_, index) => {
    const unit = (((serial * 20 + index + 1) * 2_654_435_761) % 2 ** 32) / 2 ** 32
    return `zq${Math.floor(unit ** 3 * VOCABULARY)}`
  }).join(' ')
}

async function storedBytes({ database }: Stele): Promise<number> {
  const { rows } = flags.postgres
    ? await sql<{ bytes: number }>`SELECT pg_database_size(current_database()) AS bytes`.execute(
        database.kysely,
      )
    : await sql<{ bytes: number }>`
        SELECT page_count * page_size AS bytes FROM pragma_page_count, pragma_page_size`.execute(
        database.kysely,
      )
  return rows[0]?.bytes ?? Number.NaN
}
