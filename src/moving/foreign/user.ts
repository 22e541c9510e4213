import type { ForeignRow } from '../../db/foreign.ts'
import type { LineOf } from '../export-format.ts'
import type { Origin } from './source.ts'
import { columnText, isTrue, millisecondsOf } from './values.ts'

/**
 * A user of a source. What the source lets its users do is kept as a word and gives no right here; passwords and keys stay
 * where they are.
 */
export function userLine(
  origin: Origin,
  id: string,
  row: ForeignRow,
  preferences: Readonly<Record<string, unknown>> = {},
): LineOf<'user'> {
  const createdAt = millisecondsOf(row['created_at'])
  if (createdAt === undefined) origin.note('users: have no time of creation, and got 1970-01-01')
  const { email, username, full_name, display_name, role, is_active } = row
  const more = {
    ...preferences,
    full_name: columnText(full_name ?? display_name),
    imported_role: columnText(role),
  }
  return {
    type: 'user',
    id,
    email: origin.text(email, 'users.email'),
    username: origin.text(username, 'users.username'),
    role: 'member',
    status: is_active === undefined || is_active === null || isTrue(is_active) ? 'active' : 'disabled',
    created_at: createdAt ?? 0,
    deleted_at: null,
    content_mode: null,
    erased_at: null,
    preferences: origin.metadata(typeof row['id'] === 'string' ? row['id'] : null, more),
  }
}
