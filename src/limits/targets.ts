import { SteleError } from '../errors.ts'
import { keyText } from '../model/json-object.ts'
import { checkUserId } from '../store/users.ts'
import type { LimitScope } from './counted.ts'

/**
 * What a limit is for: one user, each user (who has none of their own), or one API key; all together when none of them is named. With
 * a model, only calls to it, by the name that its provider knows.
 */
export interface LimitTarget {
  readonly user?: string | undefined
  readonly eachUser?: boolean | undefined
  readonly key?: string | undefined
  readonly model?: string | undefined
}

/** The same as it is stored. */
export interface StoredTarget {
  readonly scope: LimitScope
  readonly subject: string
  readonly model: string
}

const longestModel = 512

/** @throws SteleError invalid_value */
export function storedTarget({ user, eachUser, key, model = '' }: LimitTarget): StoredTarget {
  if ([user !== undefined, eachUser === true, key !== undefined].filter(Boolean).length > 1)
    throw new SteleError('invalid_value', {
      name: 'user',
      reason: 'a limit is for a user, for each user or for a key',
    })
  if (keyText('model', model).length > longestModel)
    throw new SteleError('invalid_value', { name: 'model', reason: 'it is too long' }, { param: 'model' })
  if (user !== undefined) return { scope: 'user', subject: checkUserId(user), model }
  if (key !== undefined) return { scope: 'key', subject: keyText('key', key), model }
  return { scope: eachUser === true ? 'each_user' : 'global', subject: '', model }
}

export function targetOf({ scope, subject, model }: StoredTarget): LimitTarget {
  return {
    ...(scope === 'user' ? { user: subject } : {}),
    ...(scope === 'each_user' ? { eachUser: true } : {}),
    ...(scope === 'key' ? { key: subject } : {}),
    ...(model === '' ? {} : { model }),
  }
}
