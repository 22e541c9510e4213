import type { ContentMode } from '../db/batch.ts'
import { isContentMode } from '../privacy/sealed-content.ts'
import type { Reading } from './contents.ts'

/** How what a user says is kept, as far as it was looked up lately. @param ofKey what the API key says of that, which counts more */
export async function contentModeOf(
  { kysely, contents }: Reading,
  userId: string,
  ofKey: ContentMode | undefined,
): Promise<ContentMode> {
  if (ofKey !== undefined) return ofKey
  let mode = contents.modes.get(userId)
  if (mode === undefined) {
    const row = await kysely
      .selectFrom('users')
      .select('content_mode')
      .where('id', '=', userId)
      .executeTakeFirst()
    mode = isContentMode(row?.content_mode) ? row.content_mode : 'default'
    contents.modes.set(userId, mode)
  }
  return mode === 'default' ? contents.mode : mode
}
