import { SteleError } from '../../errors.ts'
import { isFields } from '../reply.ts'
import type { ListedItem } from './message-items.ts'

/** An item of a message of which others may be deleted: a deleted one has nothing left but its id. */
export type KeptItem = ListedItem | { readonly id: string; readonly type?: undefined }

/** Reads the items that a message stands for. @throws SteleError content_unreadable */
export function readKeptItems(text: string): KeptItem[] {
  const items = parsed(text)
  if (items === undefined) throw new SteleError('content_unreadable', { reason: 'it is no list of items' })
  return items
}

/** Whether a text is what `readKeptItems` reads. */
export function isItemList(text: string): boolean {
  return parsed(text) !== undefined
}

export function isLeft(item: KeptItem): item is ListedItem {
  return item.type !== undefined
}

/** The same items, one of them deleted. */
export function withoutItem(items: readonly KeptItem[], id: string): KeptItem[] {
  return items.map(item => (item.id === id ? { id } : item))
}

function parsed(text: string): KeptItem[] | undefined {
  try {
    const items: unknown = JSON.parse(text)
    return Array.isArray(items) && items.every(isKept) ? items : undefined
  } catch {
    return undefined
  }
}

function isKept(item: unknown): item is KeptItem {
  if (!isFields(item)) return false
  const { id, type } = item
  return typeof id === 'string' && (type === undefined || typeof type === 'string')
}
