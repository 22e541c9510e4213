import type { Store } from '../store/contents.ts'
import { checkUserId } from '../store/users.ts'
import type { Recorder } from './recorder.ts'

/**
 * Destroys the keys of a user. What the user said stays where it is and cannot be read any more: it raises content_erased, here
 * at once, in other processes within seconds. @throws SteleError store_unavailable
 */
export async function destroyKeys(
  { database, recorder }: { readonly database: Store; readonly recorder: Recorder },
  userId: string,
): Promise<void> {
  const at = Date.now()
  await recorder.change({
    kind: 'edit',
    edit: { action: 'destroy-keys', userId: checkUserId(userId), at },
  })
  database.contents.ring.forget(userId)
}
