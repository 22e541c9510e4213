import type { Row } from '../db/tables.ts'
import { itemRole } from '../model/responses/given-items.ts'
import { messageOf } from '../model/responses/item-groups.ts'
import { isLeft, readKeptItems } from '../model/responses/kept-items.ts'
import { decodeText } from '../privacy/content.ts'

type MessageRow = Pick<Row<'messages'>, 'role' | 'content' | 'items'>

/**
 * The JSON text of a message as it is now: as it was sent, without those of its items that are deleted. Undefined when
 * nothing is left that a chat completion could hold.
 * @throws SteleError content_unreadable, content_not_kept
 */
export function shownText(row: MessageRow): string | undefined {
  if (isWholeMessage(row)) return decodeText(row.content)
  if (row.role === itemRole || row.items === null) return undefined
  const message = messageOf(readKeptItems(decodeText(row.items)).filter(isLeft))
  return message && JSON.stringify(message)
}

/** Whether a message is one of a chat, and as it was sent. @throws SteleError content_unreadable */
export function isWholeMessage({ role, items }: MessageRow): boolean {
  return role !== itemRole && (items === null || readKeptItems(decodeText(items)).every(isLeft))
}
