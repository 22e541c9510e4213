/**
 * How many tokens each level of prompt compression saves, by OpenAI's tokenizer (o200k_base), what it breaks, and what it costs.
 *
 *   npm run bench:compression -- [--rounds 7]
 *
 * The cost is time of the processor, the least of the rounds. Beside the levels stands what two usual ideas come to that Stele
 * leaves alone: words without their vowels, and gzip in base64. One JSON line on stdout, a table on stderr.
 */
import { parseArgs } from 'node:util'
import { gzipSync } from 'node:zlib'
import { countTokens } from 'gpt-tokenizer/encoding/o200k_base'
import { currentVersion, versions } from '../src/compression/compress-text.ts'
import { compressionLevels } from '../src/compression/levels.ts'
import { checks } from './lib/compression-checks.ts'
import { compressionCorpora } from './lib/compression-corpus.ts'
import { printResult, say, table } from './lib/report.ts'
import { round } from './lib/statistics.ts'

const { values: flags } = parseArgs({ options: { rounds: { type: 'string', default: '7' } } })
const rounds = Number(flags.rounds)
/** What a round goes through at least: the clock of the processor ticks slowly. */
const measuredBytes = 2_000_000
const compress = versions[currentVersion]
if (compress === undefined) throw new Error('there is no such version')

const { corpora, source } = compressionCorpora()
const results = corpora.flatMap(({ name: corpus, texts }) =>
  compressionLevels.map(level => {
    const made = texts.map(text => compress(text, level))
    const intact = Object.entries(checks).map(([check, holds]): [string, number] => {
      const holding = texts.filter((text, index) => holds(text, made[index] ?? '')).length
      return [check, round(holding / texts.length, 4)]
    })
    return {
      corpus,
      level,
      texts: texts.length,
      tokens: tokensOf(texts),
      savedPercent: saved(texts, made),
      microsecondsPerKilobyte: costOf(texts, text => compress(text, level)),
      intact: Object.fromEntries(intact),
    }
  }),
)
const leftAlone = corpora.map(({ name: corpus, texts }) => ({
  corpus,
  vowelsSavedPercent: saved(texts, texts.map(withoutVowels)),
  gzipSavedPercent: saved(
    texts,
    texts.map(text => gzipSync(text).toString('base64')),
  ),
}))

const names = Object.keys(checks)
table([
  ['corpus, level', 'tokens', 'saved %', 'µs per kB', ...names],
  ...results.map(({ corpus, level, tokens, savedPercent, microsecondsPerKilobyte, intact }) => [
    `${corpus}, ${level}`,
    tokens,
    savedPercent.toFixed(2),
    microsecondsPerKilobyte,
    ...names.map(name => `${Math.round((intact[name] ?? 0) * 100)} %`),
  ]),
])
for (const { corpus, vowelsSavedPercent, gzipSavedPercent } of leftAlone)
  say(`  ${corpus}: without vowels ${vowelsSavedPercent} %, gzip in base64 ${gzipSavedPercent} % saved`)
printResult({
  benchmark: 'compression',
  version: currentVersion,
  tokenizer: 'o200k_base',
  source,
  results,
  leftAlone,
})

function tokensOf(texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + countTokens(text), 0)
}

function saved(before: readonly string[], after: readonly string[]): number {
  return round((1 - tokensOf(after) / tokensOf(before)) * 100, 3)
}

/** Of every word its first letter and its consonants. */
function withoutVowels(text: string): string {
  return text.replace(/(?<=\p{L})[aeiou]/giu, '')
}

/** Microseconds of the processor for a kilobyte of these texts. */
function costOf(texts: readonly string[], work: (text: string) => string): number {
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0)
  const times = Math.ceil(measuredBytes / bytes)
  const kilobytes = (times * bytes) / 1024
  let least = Number.POSITIVE_INFINITY
  for (let done = 0; done < rounds; done++) {
    const before = process.threadCpuUsage()
    for (let time = 0; time < times; time++) for (const text of texts) work(text)
    const { user, system } = process.threadCpuUsage(before)
    least = Math.min(least, (user + system) / kilobytes)
  }
  return round(least, 2)
}
