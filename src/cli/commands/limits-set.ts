import { SteleError } from '../../errors.ts'
import type { CapChange } from '../../limits/caps.ts'
import type { LimitTarget } from '../../limits/targets.ts'
import { capsText, targetText } from '../limit-text.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { operatorHere } from '../operator.ts'
import { say, writeJson } from '../output.ts'
import { toRecord } from '../record.ts'

type Cap = number | 'unlimited' | null

export interface SetLimitsOptions
  extends GlobalOptions,
    LimitTarget,
    Omit<CapChange, 'nanousdPerDay' | 'nanousdPerMonth'> {
  readonly costPerDay?: Cap
  readonly costPerMonth?: Cap
  readonly json?: boolean
}

/** Sets limits of a user, a key or a model. */
export async function setLimits(options: SetLimitsOptions): Promise<void> {
  const { user, eachUser, key, model } = options
  const change: CapChange = {
    requestsPerMinute: options.requestsPerMinute,
    requestsPerDay: options.requestsPerDay,
    requestsPerMonth: options.requestsPerMonth,
    tokensPerMinute: options.tokensPerMinute,
    tokensPerDay: options.tokensPerDay,
    tokensPerMonth: options.tokensPerMonth,
    nanousdPerDay: options.costPerDay,
    nanousdPerMonth: options.costPerMonth,
  }
  const limit = await withStele(options, async ({ limits, apiKeys }) => {
    if (key !== undefined && (await apiKeys.get(key)) === undefined)
      throw new SteleError('api_key_not_found', { key })
    return limits.set({ user, eachUser, key, model }, change, operatorHere())
  })
  if (options.json === true) return writeJson(toRecord(limit))
  say(`Limits of ${targetText(limit)}: ${capsText(limit)}.`)
}
