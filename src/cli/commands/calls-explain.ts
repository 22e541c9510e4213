import { SteleError } from '../../errors.ts'
import type { CostExplanation, ExplainedLine } from '../../pricing/costs.ts'
import type { PriceSource } from '../../pricing/price-book.ts'
import { isPaidSingly } from '../../pricing/rates.ts'
import type { CostBasis } from '../../pricing/recompute.ts'
import { Failure } from '../failure.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { outputWidth, write, writeJson } from '../output.ts'
import { toRecord } from '../record.ts'
import { type Column, formatFacts, formatTable } from '../table.ts'
import { costText, none, timeText } from '../values.ts'

export interface ExplainCallOptions extends GlobalOptions {
  readonly user?: string
  readonly json?: boolean
}

const columns: readonly Column<ExplainedLine>[] = [
  { title: 'WHAT', text: ({ kind }) => kindNames[kind] },
  { title: 'COUNT', text: ({ count }) => String(count), align: 'right' },
  {
    title: 'PRICE',
    text: ({ kind, price }) =>
      `$${price} ${kind === 'call' ? 'a call' : isPaidSingly(kind) ? 'each' : 'a million'}`,
    align: 'right',
  },
  { title: 'COST', text: ({ cost }) => `$${cost}`, align: 'right' },
]

const kindNames = {
  input: 'input tokens',
  cacheRead: 'input from cache',
  cacheCreation: 'input written to cache',
  longCacheCreation: 'input cached for an hour',
  audioInput: 'audio input',
  audioCacheRead: 'audio input from cache',
  output: 'output tokens',
  reasoning: 'reasoning tokens',
  audioOutput: 'audio output',
  webSearch: 'web searches',
  fileSearch: 'file searches',
  otherTool: 'other tools',
  call: 'the call',
} as const satisfies Record<ExplainedLine['kind'], string>

const bases = {
  given: 'given by whoever recorded the call',
  cached: 'nothing: it was answered from the cache',
  'nothing-used': 'nothing: the provider was not asked, or refused',
  priced: 'what was used, times its price',
  'no-usage': 'unknown: nobody knows what was used',
  'no-price': 'unknown: the model has no price; give one under "prices" in stele.config.json',
  'incomplete-price': 'unknown: something that was used has no price',
} as const satisfies Record<CostBasis, string>

/** Tells how the cost of a call comes about, and whether that is what is on record. */
export async function explainCall(id: string, options: ExplainCallOptions): Promise<void> {
  const { user, json } = options
  const explained = await withStele(options, async ({ costs }) => {
    try {
      return await costs.explain(id, user)
    } catch (error) {
      if (!(error instanceof SteleError) || error.code !== 'call_not_found') throw error
      throw new Failure(`There is no settled call '${id}'${user === undefined ? '' : ` of '${user}'`}.`)
    }
  })
  if (json === true) return writeJson({ ...toRecord(explained), lines: explained.lines })
  const lines =
    explained.lines.length === 0 ? '' : `\n${formatTable(columns, explained.lines, outputWidth())}`
  await write(`${formatFacts(factsOf(explained))}\n${lines}`)
}

function factsOf(explained: CostExplanation): [string, string][] {
  const { requestModel, responseModel, usageSource, computedNanousd, storedNanousd, agrees } = explained
  const difference = agrees ? '' : ' (differs: stele usage reprice)'
  return [
    ['call', explained.id],
    ['user', explained.userId],
    ['provider', explained.provider],
    ['model', [requestModel, responseModel].filter(each => each !== undefined).join(' → ')],
    ['status', explained.status],
    ['created', timeText(explained.createdAt)],
    ['tokens', usageSource ?? none],
    ['basis', bases[explained.basis]],
    ['price', priceText(explained.price)],
    ['computed', costText(computedNanousd)],
    ['on record', costText(storedNanousd) + difference],
  ]
}

function priceText(source: PriceSource | undefined): string {
  switch (source?.kind) {
    case 'override': {
      const { model, provider, from, until } = source.override
      const days = [from && `from ${from}`, until && `until ${until}`].filter(Boolean).join(' ')
      const which = [provider, model].filter(each => each !== undefined).join('/')
      return `own, prices[${source.index}] ${which}${days === '' ? '' : `, ${days}`}`
    }
    case 'list':
      return `public, ${source.provider}/${source.model}${source.since === undefined ? '' : `, since ${source.since}`}`
    case 'told':
      return 'what the provider says with its reply that it charges'
    case 'own':
      return 'answered by Stele itself'
    default:
      return none
  }
}
