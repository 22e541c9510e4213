import type { ContentMode } from '../db/batch.ts'
import { SteleError } from '../errors.ts'
import { columnText, givenObject, type JsonObject, keyText, objectText } from '../model/json-object.ts'
import { contentModes, isContentMode } from '../privacy/sealed-content.ts'
import type { Recorder } from '../recorder/recorder.ts'
import type { Store } from '../store/contents.ts'
import { type User, userStore } from '../store/users.ts'

/** What to change: null clears, and what is left out stays. */
export interface UserChange {
  readonly email?: string | null | undefined
  readonly username?: string | null | undefined
  readonly preferences?: JsonObject | null | undefined
  /** How what the user says is kept from now on; null for as everybody's. */
  readonly contentMode?: ContentMode | null | undefined
}

const longest = 512

/** Users as an application keeps them. */
export function userLibrary(database: Store, recorder: Recorder) {
  const store = userStore(database)
  return {
    ...store,
    /** @throws SteleError user_not_found, invalid_value */
    async update(userId: string, change: UserChange): Promise<User> {
      const { email, username, preferences, contentMode } = givenObject('change', change)
      const text = (name: string, value: string | null): string | null =>
        value === null ? null : columnText(name, value, { least: 1, most: longest })
      const set = {
        ...(email === undefined ? {} : { email: text('email', email) }),
        ...(username === undefined ? {} : { username: text('username', username) }),
        ...(preferences === undefined
          ? {}
          : { preferences: preferences === null ? null : objectText('preferences', preferences) }),
        ...(contentMode === undefined ? {} : { content_mode: checkedMode(contentMode) }),
      }
      await recorder.change({
        kind: 'edit',
        edit: { action: 'update-user', userId: keyText('userId', userId), at: Date.now(), set },
      })
      const user = await store.get(userId)
      if (user === undefined) throw new SteleError('user_not_found', { user: userId })
      return user
    },
  }
}

function checkedMode(mode: ContentMode | null): ContentMode | null {
  if (mode === null || isContentMode(mode)) return mode
  throw new SteleError(
    'invalid_value',
    { name: 'contentMode', reason: `it must be one of ${contentModes.join(', ')}` },
    { param: 'contentMode' },
  )
}
