/**
 * How much of what is told of people the detectors find, and what looking for it costs.
 *
 *   npm run bench:masking -- [--documents 10000] [--seed 1] [--rounds 7] [--misses 20]
 *
 * The texts are made up by a generator that shares nothing with the detectors: its own lists, forms and check digits. Half
 * of what looks telling in them is not: order numbers, versions, hashes, prices, dates, code. The cost is time of the
 * processor, the least of the rounds, so that what else the machine does counts little. One JSON line on stdout, a table
 * on stderr.
 */
import { parseArgs } from 'node:util'
import { findEntities } from '../src/privacy/masking/detect.ts'
import { Masker } from '../src/privacy/masking/masker.ts'
import { scoreOf } from './lib/masking-score.ts'
import { piiCorpus } from './lib/pii-corpus.ts'
import { printResult, say, table } from './lib/report.ts'
import { round } from './lib/statistics.ts'
import { loadTexts, requestBody } from './lib/texts.ts'

const { values: flags } = parseArgs({
  options: {
    documents: { type: 'string', default: '10000' },
    seed: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '7' },
    misses: { type: 'string', default: '0' },
  },
})
const rounds = Number(flags.rounds)
const options = { phoneRegion: 'US', patterns: [] } as const

const corpus = piiCorpus(Number(flags.documents), Number(flags.seed))
let misses = Number(flags.misses)
const scores = scoreOf(
  corpus,
  text => findEntities(text, options),
  (text, what) => {
    if (misses-- > 0) say(`${what} in ${JSON.stringify(text.slice(0, 300))}`)
  },
)

const { texts: prose, source } = loadTexts()
const telling = corpus.map(({ text }) => text)
const many = Array.from({ length: 200 }, () => prose).flat()
const microseconds = {
  corpus: await costOf(telling, async text => void findEntities(text, options)),
  prose: await costOf(many, async text => void findEntities(text, options)),
  requests: await costOf(telling.map(requestBody), async body => void (await new Masker(options).json(body))),
}

const kinds = [...scores].sort(([a], [b]) => (a < b ? -1 : 1))
table([
  ['entity', 'there', 'precision', 'recall', 'F'],
  ...kinds.map(([kind, { labels, precision, recall, f }]) => [
    kind,
    labels,
    precision.toFixed(4),
    recall.toFixed(4),
    f.toFixed(4),
  ]),
])
say(
  `  \u00b5s per kB: ${microseconds.corpus} in the corpus, ${microseconds.prose} in prose, ${microseconds.requests} to mask a request`,
)
printResult({
  benchmark: 'masking',
  seed: Number(flags.seed),
  documents: corpus.length,
  kilobytes: Math.round(telling.reduce((sum, text) => sum + Buffer.byteLength(text), 0) / 1024),
  proseSource: source,
  entities: Object.fromEntries(
    kinds.map(([kind, { labels, precision, recall, f }]) => [
      kind,
      { labels, precision: round(precision, 4), recall: round(recall, 4), f: round(f, 4) },
    ]),
  ),
  leastF: round(Math.min(...kinds.map(([, { f }]) => f)), 4),
  microsecondsPerKilobyte: microseconds,
})

/** Microseconds of the processor for a kilobyte of these texts. */
async function costOf(texts: readonly string[], look: (text: string) => Promise<void>): Promise<number> {
  const kilobytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0) / 1024
  let least = Number.POSITIVE_INFINITY
  for (let done = 0; done < rounds; done++) {
    const before = process.threadCpuUsage()
    for (const text of texts) await look(text)
    const { user, system } = process.threadCpuUsage(before)
    least = Math.min(least, (user + system) / kilobytes)
  }
  return round(least, 3)
}
