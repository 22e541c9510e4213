import type { Database } from '../db/database.ts'
import { SteleError } from '../errors.ts'
import { keyText } from '../model/json-object.ts'
import type { UsageSource } from '../model/usage.ts'
import { type Actor, actorText, operator } from '../store/audit-events.ts'
import {
  type CallKey,
  type CostedCall,
  type CostFilter,
  costedCall,
  costedCalls,
  countCostedCalls,
  type UnpricedModel,
  unpricedModels,
} from '../store/costed-calls.ts'
import { dollarsText } from './money.ts'
import type { PriceBook, PriceSource } from './price-book.ts'
import { isPaidSingly, type UsageKind } from './rates.ts'
import { type CostBasis, recompute } from './recompute.ts'
import type { CostChange, DoRepriceStep } from './reprice-step.ts'

/** A part of a cost as it is told: amounts are US dollars in full, as text. */
export interface ExplainedLine {
  readonly kind: UsageKind
  readonly count: number
  /** For a million tokens, or for one call or use of a tool. */
  readonly price: string
  readonly cost: string
}

/** How the cost of a call comes about. */
export interface CostExplanation
  extends Omit<CostedCall, 'account' | 'operation' | 'httpStatus' | 'settledAt'> {
  /** Undefined when no tokens are known. */
  readonly usageSource: UsageSource | undefined
  readonly basis: CostBasis
  /** Where the price comes from. */
  readonly price: PriceSource | undefined
  readonly lines: readonly ExplainedLine[]
  /** Nano-US-dollars as computed now and as stored; undefined when unknown. */
  readonly computedNanousd: number | undefined
  readonly storedNanousd: number | undefined
  /** Whether the two are the same. Where they are not, repricing would put it right. */
  readonly agrees: boolean
}

export interface RepriceOptions extends CostFilter {
  /** Only tell what would change. */
  readonly dryRun?: boolean | undefined
  /** Who does it, for the audit trail. */
  readonly by?: Actor | undefined
  /** Told calls looked at and calls to look at. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined
}

/** What repricing came to, or would. */
export interface RepriceReport {
  readonly isDryRun: boolean
  readonly looked: number
  /** Calls that had no cost and have one now, and calls whose cost was another. */
  readonly filled: number
  readonly corrected: number
  /** Calls that have no cost still. */
  readonly unpriced: number
  /** Nano-US-dollars by which all costs together have grown. */
  readonly addedNanousd: number
}

interface CostParts {
  readonly database: Pick<Database, 'kysely'>
  readonly prices: () => Promise<PriceBook>
  readonly doStep: DoRepriceStep
}

const callsAtATime = 500

/** What calls cost, and why. */
export function costLibrary({ database, prices, doStep }: CostParts) {
  const { kysely } = database
  return {
    /** The prices that hold here. */
    prices,
    /**
     * How the cost of a call comes about; nothing of what was said is needed for it.
     * @throws SteleError call_not_found
     */
    async explain(id: string, userId?: string): Promise<CostExplanation> {
      const whose = userId === undefined ? undefined : keyText('userId', userId)
      const call = await costedCall(kysely, keyText('id', id), whose)
      if (call === undefined) throw new SteleError('call_not_found', { call: id })
      return explained(await prices(), call)
    },
    /** The models of calls whose cost is unknown, those with the most calls first. */
    unpriced: (filter: CostFilter = {}): Promise<UnpricedModel[]> => unpricedModels(kysely, filter),
    /**
     * Computes the costs of calls on record anew, by the prices that held when they were begun, and puts right what is
     * another: the calls and the sums of their days, in small transactions. A cost that is known stays when its price is
     * not any more. Ended before it is done, it is finished by doing it once more. @throws SteleError store_unavailable
     */
    async reprice({
      dryRun = false,
      by = operator,
      onProgress,
      ...filter
    }: RepriceOptions = {}): Promise<RepriceReport> {
      const book = await prices()
      const total = onProgress === undefined ? 0 : await countCostedCalls(kysely, filter)
      const report = { isDryRun: dryRun, looked: 0, filled: 0, corrected: 0, unpriced: 0, addedNanousd: 0 }
      for (let after: CallKey | undefined; ; ) {
        const calls = await costedCalls(kysely, filter, { after, limit: callsAtATime })
        const changes = calls.flatMap(call => changeOf(book, call) ?? [])
        if (changes.length > 0 && !dryRun) await doStep({ changes, actor: actorText(by), at: Date.now() })
        report.looked += calls.length
        report.filled += changes.filter(({ before }) => before === null).length
        report.corrected += changes.filter(({ before }) => before !== null).length
        report.addedNanousd += changes.reduce(
          (sum, change) => sum + (change.after ?? 0) - (change.before ?? 0),
          0,
        )
        report.unpriced +=
          calls.filter(({ account }) => account.costNanousd === undefined).length -
          changes.filter(({ before }) => before === null).length
        onProgress?.(report.looked, Math.max(total, report.looked))
        after = calls.at(-1)
        if (calls.length < callsAtATime) return report
      }
    },
  }
}

function changeOf(book: PriceBook, call: CostedCall): CostChange | undefined {
  const { nanousd } = recompute(book, call)
  const { costNanousd } = call.account
  if (nanousd === undefined || nanousd === costNanousd) return undefined
  return {
    userId: call.userId,
    callId: call.id,
    model: call.responseModel ?? call.requestModel,
    settledAt: call.settledAt,
    before: costNanousd ?? null,
    after: nanousd,
  }
}

function explained(book: PriceBook, call: CostedCall): CostExplanation {
  const { account, operation: _, httpStatus: __, settledAt: ___, ...facts } = call
  const { basis, nanousd, price, lines = [] } = recompute(book, call)
  return {
    ...facts,
    usageSource: account.usageSource,
    basis,
    price: price?.source,
    lines: lines.map(({ kind, count, rate }) => ({
      kind,
      count,
      price: dollarsText(isPaidSingly(kind) ? rate : rate * 1_000_000n),
      cost: dollarsText(BigInt(count) * rate),
    })),
    computedNanousd: nanousd,
    storedNanousd: account.costNanousd,
    agrees: nanousd === account.costNanousd,
  }
}
