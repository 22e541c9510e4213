import type { Row } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { decodeText } from '../privacy/content.ts'
import { echoSeparator } from './echo.ts'

/**
 * The texts in which the client sent the messages 0 to `upToSeq`, from the rows of that history. Walks backwards,
 * because each row knows how the messages before it were spelled when it was sent: as stored, or as its echo says.
 * @throws SteleError content_not_kept when what was said in one is not kept, or the first ones are gone altogether;
 * content_unreadable when one is missing in between
 */
export function rawMessages(history: readonly Row<'messages'>[], upToSeq: number): string[] {
  const bySeq = new Map(history.map(row => [row.seq, row]))
  const raws = new Array<string>(upToSeq + 1)
  for (let seq = upToSeq; seq >= 0; ) {
    const row = bySeq.get(seq)
    // Rows expire from the beginning of a conversation on: what is missing with everything before it was let go.
    if (row === undefined && !history.some(other => other.seq < seq)) throw new SteleError('content_not_kept')
    if (row === undefined)
      throw new SteleError('content_unreadable', { reason: `message ${seq} of the history is missing` })
    raws[seq] = decodeText(row.content)
    if (row.echo === null || row.echo_from === null) {
      seq--
      continue
    }
    const from = row.echo_from
    decodeText(row.echo)
      .split(echoSeparator)
      .forEach((raw, index) => {
        raws[from + index] = raw
      })
    seq = from - 1
  }
  return raws
}
