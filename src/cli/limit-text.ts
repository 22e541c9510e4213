import { type CapName, capNames } from '../limits/caps.ts'
import { dollarsOf } from '../limits/money.ts'
import type { Limit } from '../limits/store.ts'
import type { LimitTarget } from '../limits/targets.ts'
import { printableLine } from './printable.ts'

/** What a limit is for, in words. */
export function targetText({ user, eachUser, key, model }: LimitTarget): string {
  const whom =
    user !== undefined
      ? `user ${printableLine(user)}`
      : key !== undefined
        ? `key ${printableLine(key)}`
        : eachUser === true
          ? 'each user'
          : 'all together'
  return model === undefined ? whom : `${whom}, model ${printableLine(model)}`
}

/** What is limited, with how much of it is used: 3/10 requests per day. */
export function capsText({ caps, used }: Pick<Limit, 'caps' | 'used'>): string {
  const parts = (Object.keys(caps) as CapName[]).map(name => {
    const [period, metric] = capNames[name]
    const amount = (value: number): string => (metric === 'nanousd' ? dollarsOf(value) : String(value))
    const cap = caps[name] ?? 0
    const taken = used[name]
    const most = cap === 'unlimited' ? cap : amount(cap)
    const unit = metric === 'nanousd' ? '' : ` ${metric}`
    return `${taken === undefined ? '' : `${amount(taken)}/`}${most}${unit} per ${period}`
  })
  return parts.join(', ') || 'none'
}
