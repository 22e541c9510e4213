import type { Outcome } from '../model/call.ts'
import type { Reply } from '../model/reply.ts'
import { toolsOfModel } from '../model/tool-use.ts'
import type { Account, Usage } from '../model/usage.ts'
import { countBeside } from './count-beside.ts'
import { outputTexts } from './output-texts.ts'
import { PriceBook, type PriceBookOptions } from './price-book.ts'
import { type CountedRequest, promptOf } from './tokens.ts'

/** A call as its account sees it. */
export interface AccountedCall {
  readonly provider: string
  readonly requestModel: string
  readonly operation: string
  readonly createdAt: number
}

/** A request as its provider got it, read when something of it is to be counted. */
export type AskedRequest = () => CountedRequest

/**
 * Tells what calls took and cost when they end. The rules, in this order (docs/pricing.md has them as a table): a cost that
 * is given counts; a cached reply costs nothing; tokens that the provider reported are what counts; where it was not asked,
 * or refused by a status, nothing was used; a reply that came, whole or in part, is estimated where the provider did not
 * say; of anything else nobody knows, and so the cost is unknown.
 */
export class Accounting {
  readonly #options: PriceBookOptions
  readonly #onError: ((error: unknown) => void) | undefined
  #book: PriceBook | undefined
  #opening: Promise<PriceBook> | undefined

  constructor(options: PriceBookOptions, onError?: (error: unknown) => void) {
    this.#options = options
    this.#onError = onError
  }

  /** The prices, loaded when they are first needed. */
  async prices(): Promise<PriceBook> {
    this.#opening ??= PriceBook.open(this.#options)
    this.#book = await this.#opening
    return this.#book
  }

  /** What a call may cost, at once, in nano-US-dollars; undefined when that is not known, or the prices are not loaded. */
  mayCost(call: Parameters<PriceBook['mayCost']>[0], usage: Usage): number | undefined {
    return this.#book?.mayCost(call, usage)
  }

  /** @param asked the request, when it is at hand: what is to be estimated is read from it */
  async accountOf(
    call: AccountedCall,
    outcome: Outcome,
    reply: Reply | undefined,
    asked: AskedRequest | undefined,
  ): Promise<Account> {
    const told = reply?.usage ?? {}
    const usageSource = hasTokens(told) ? 'reported' : undefined
    const { status, costNanousd } = outcome
    if (costNanousd !== undefined) return { usage: told, usageSource, costNanousd, isCostGiven: true }
    const free = { usage: told, usageSource, costNanousd: 0, isCostGiven: false } as const
    if (status === 'cached') return free
    if (usageSource === undefined && usedNothing(outcome)) return free
    const { usage, isEstimate } = await this.#usageOf(call, outcome, reply, asked)
    return {
      usage,
      usageSource: isEstimate ? 'estimated' : usageSource,
      costNanousd: await this.#cost(call, reply?.responseModel, usage),
      isCostGiven: false,
    }
  }

  async #cost(call: AccountedCall, answered: string | undefined, usage: Usage): Promise<number | undefined> {
    try {
      const book = this.#book ?? (await this.prices())
      return book.costOf(pricedCall(call, answered), usage)
    } catch (error) {
      // Without prices calls go on; what they cost can be filled in later.
      this.#onError?.(error)
      return undefined
    }
  }

  /** What was used: as told, with what is missing estimated where a reply came. */
  async #usageOf(
    { requestModel, operation }: AccountedCall,
    outcome: Outcome,
    reply: Reply | undefined,
    asked: AskedRequest | undefined,
  ): Promise<{ usage: Usage; isEstimate: boolean }> {
    const said = reply?.usage ?? {}
    if (!hasAnswer(outcome, reply) || operation === 'moderations') return { usage: said, isEstimate: false }
    const told =
      operation === 'chat' ? { ...toolsOfModel(reply?.responseModel ?? requestModel), ...said } : said
    const words = outputTexts(outcome, reply, operation)
    const makesText = operation !== 'embeddings'
    const lacksInput = told.inputTokens === undefined && asked !== undefined
    // A reply that says something took more than nothing.
    const lacksOutput =
      makesText && !(told.outputTokens ?? 0) && (words.length > 0 || told.outputTokens === undefined)
    if (!lacksInput && !lacksOutput) return { usage: told, isEstimate: false }
    const usage = {
      ...told,
      ...(lacksInput ? { inputTokens: await inputTokens(requestModel, asked) } : {}),
      ...(lacksOutput ? { outputTokens: await countBeside(requestModel, words) } : {}),
    }
    return { usage, isEstimate: true }
  }
}

/** A call as the price book sees it: by the model that answered, and by the one that was asked. */
export function pricedCall(
  { provider, requestModel, createdAt }: Pick<AccountedCall, 'provider' | 'requestModel' | 'createdAt'>,
  responseModel: string | undefined,
): Parameters<PriceBook['priceOf']>[0] {
  return { provider, model: responseModel ?? requestModel, requestModel, at: createdAt }
}

function hasTokens({ inputTokens, outputTokens }: Usage): boolean {
  return inputTokens !== undefined || outputTokens !== undefined
}

/** Whether a provider had nothing to charge for: it was not asked, or it refused. */
function usedNothing({ status, httpStatus, isAsked }: Outcome): boolean {
  if (isAsked === false) return true
  return status === 'failed' && httpStatus !== undefined && httpStatus >= 300
}

/**
 * Whether there is an answer, or the beginning of one, by which to estimate. A call that was ended from this side had its
 * prompt read, whatever came of it.
 */
function hasAnswer({ status, httpStatus }: Outcome, reply: Reply | undefined): boolean {
  if (status === 'completed' || status === 'aborted') return true
  const isBegun = httpStatus !== undefined && httpStatus < 300
  return status === 'failed' && isBegun && reply?.message !== undefined
}

async function inputTokens(model: string, asked: AskedRequest): Promise<number> {
  const { texts, others } = promptOf(asked())
  return others + (await countBeside(model, texts))
}
