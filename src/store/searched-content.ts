import { searchedText } from '../model/searched-text.ts'
import { decodeText, isAbsent } from '../privacy/content.ts'

/** What can be searched of a message; empty of one whose content is not kept. @throws SteleError content_unreadable */
export function searchedContent(content: Uint8Array): string {
  return isAbsent(content) ? '' : searchedText(decodeText(content))
}
