import { SteleError } from '../errors.ts'
import { searchedText } from '../model/searched-text.ts'
import { decodeText } from '../privacy/content.ts'

const unsearchable: ReadonlySet<string> = new Set(['content_not_kept', 'content_unreadable'])

/** What can be searched of a message as it is stored; empty of one whose content is not kept or cannot be read. */
export function searchedContent(content: Uint8Array): string {
  let raw: string
  try {
    raw = decodeText(content)
  } catch (error) {
    if (error instanceof SteleError && unsearchable.has(error.code)) return ''
    throw error
  }
  return searchedText(raw)
}
