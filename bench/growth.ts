/**
 * What size costs: an insert and the newest page as messages go from ten thousand to a million, and the bytes of a
 * conversation of 100 turns against one of 10 when the client sends the whole history with every turn.
 *
 *   npm run bench:growth -- [--rows 1000000] [--minutes 12] [--postgres]
 *
 * At each checkpoint a fresh database of ten thousand messages is measured in turns with the big one, so the ratio compares
 * two sizes at the same time, not the machine at two times. One JSON line on stdout, a table on stderr.
 */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type GrowingDatabase, growingDatabase, recordConversation, WRITERS } from './lib/growth-database.ts'
import { type LiveSchema, readPostgres, readSqlite } from './lib/live-schema.ts'
import { printResult, say, table } from './lib/report.ts'
import { median, round } from './lib/statistics.ts'
import { openForBench } from './lib/stele.ts'
import { temporaryDirectory } from './lib/temporary-directory.ts'
import { startPostgres } from './lib/temporary-postgres.ts'
import { loadTexts } from './lib/texts.ts'

const { values: flags } = parseArgs({
  options: {
    rows: { type: 'string', default: '1000000' },
    minutes: { type: 'string', default: '12' },
    postgres: { type: 'boolean', default: false },
  },
})
const BASE = 10_000
const WINDOW_CALLS = 3000
const WINDOWS = 3
const rows = Number(flags.rows)
const deadline = performance.now() + Number(flags.minutes) * 60_000
const checkpoints = [BASE, 30_000, 100_000, 300_000, 1_000_000].filter(n => n < rows).concat(rows)
const { texts, source } = loadTexts()

await using cleanup = new AsyncDisposableStack()
const directory = await temporaryDirectory('growth')
cleanup.defer(() => directory.remove())
const server = flags.postgres ? await startPostgres() : undefined
if (server) cleanup.defer(() => server.stop())

async function newDatabase(name: string): Promise<{ url: string; read(): Promise<LiveSchema> }> {
  if (server !== undefined) {
    const url = await server.createDatabase(name)
    return { url, read: () => readPostgres(url) }
  }
  const file = join(directory.path, `${name}.db`)
  return { url: `sqlite:${file}`, read: async () => readSqlite(file) }
}

interface Figures {
  readonly insertMicros: number[]
  readonly callPageMicros: number[]
  readonly messagePageMicros: number[]
}
const figures = (): Figures => ({ insertMicros: [], callPageMicros: [], messagePageMicros: [] })

async function measure(database: GrowingDatabase, into: Figures): Promise<void> {
  into.insertMicros.push(await database.insertMicros(WINDOW_CALLS))
  const page = await database.pageMicros()
  into.callPageMicros.push(page.calls)
  into.messagePageMicros.push(page.messages)
}

/** Windows of the big database and of a fresh small one, in turns. */
async function checkpoint(big: GrowingDatabase, target: number) {
  const started = big.messages
  const { url } = await newDatabase(`small_${target}`)
  const small = await growingDatabase(url, texts)
  const [bigFigures, smallFigures] = [figures(), figures()]
  try {
    // Its own limit: the comparison must be whole even when the big one ran out of time.
    await small.fill(BASE, performance.now() + 60_000)
    for (let window = 0; window < WINDOWS; window++) {
      await measure(big, bigFigures)
      await measure(small, smallFigures)
    }
  } finally {
    await small.close()
  }
  const ratio = (key: keyof Figures) =>
    round(median(bigFigures[key].map((value, i) => value / (smallFigures[key][i] ?? Number.NaN))))
  return {
    messages: started,
    insertMicros: round(median(bigFigures.insertMicros)),
    callPageMicros: round(median(bigFigures.callPageMicros)),
    messagePageMicros: round(median(bigFigures.messagePageMicros)),
    insertVs10k: ratio('insertMicros'),
    callPageVs10k: ratio('callPageMicros'),
    messagePageVs10k: ratio('messagePageMicros'),
  }
}

/** Bytes in all columns of the rows that a conversation of so many turns leaves, its history sent again every turn. */
async function conversationBytes(): Promise<{ of10: number; of100: number }> {
  const { url, read } = await newDatabase('conversations')
  const stele = await openForBench(url)
  for (const turns of [10, 100])
    await recordConversation(stele, `turns-${turns}`, texts, turns, `turns-${turns}`)
  await stele.close()
  const schema = await read()
  const sums = new Map<unknown, number>()
  for (const table_ of await schema.tables()) {
    for (const row of await schema.rows(table_)) {
      const bytes = Object.values(row).reduce<number>((sum, value) => {
        if (value === null) return sum
        return sum + (typeof value === 'number' ? 8 : Buffer.byteLength(value))
      }, 0)
      sums.set(row['user_id'], (sums.get(row['user_id']) ?? 0) + bytes)
    }
  }
  await schema.close()
  return { of10: sums.get('turns-10') ?? Number.NaN, of100: sums.get('turns-100') ?? Number.NaN }
}

const bytes = await conversationBytes()
const { url } = await newDatabase('big')
const big = await growingDatabase(url, texts)
cleanup.defer(() => big.close())
const points: Awaited<ReturnType<typeof checkpoint>>[] = []
for (const target of checkpoints) {
  say(`Recording up to ${target} messages with ${WRITERS} writers`)
  await big.fill(target, deadline)
  points.push(await checkpoint(big, target))
  if (performance.now() > deadline) {
    say(`Time is up at ${big.messages} messages`)
    break
  }
}

const last = points.at(-1)
table([
  ['messages', 'insert µs/call', 'vs 10k', '50 calls µs', 'vs 10k', '50 messages µs', 'vs 10k'],
  ...points.map(p => [
    p.messages,
    p.insertMicros,
    p.insertVs10k,
    p.callPageMicros,
    p.callPageVs10k,
    p.messagePageMicros,
    p.messagePageVs10k,
  ]),
])
say(`  a conversation of 100 turns takes ${round(bytes.of100 / bytes.of10)} times the bytes of one of 10`)
printResult({
  bench: 'growth',
  database: flags.postgres ? 'postgresql' : 'sqlite',
  reached: last?.messages,
  complete: (last?.messages ?? 0) >= rows,
  insertVs10k: last?.insertVs10k,
  callPageVs10k: last?.callPageVs10k,
  messagePageVs10k: last?.messagePageVs10k,
  bytes100TurnsVs10Turns: round(bytes.of100 / bytes.of10),
  conversationBytes: bytes,
  points,
  texts: source,
})
