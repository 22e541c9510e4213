import { historyItems } from './history-items.ts'

/**
 * A request that a provider gets in the words of Responses spells out the conversation so far as input items. On record it
 * stands without them: they are made of the messages again, so what `historyItems` makes of a message must stay the same for
 * ever, and another form needs another mark.
 */
const mark = /^items:(\d{1,10})$/

/** What is recorded of such a history in place of its text. @param seq the place of its last message */
export function historyMark(seq: number): string {
  return `items:${seq}`
}

/** The place of the last message of the history that a mark stands for; undefined of what is no mark. */
export function markedSeq(recorded: string | null): number | undefined {
  const seq = recorded === null ? undefined : mark.exec(recorded)?.[1]
  return seq === undefined ? undefined : Number(seq)
}

/** The elements of the list of input items that tell messages. @param raws their JSON texts */
export function toldHistory(raws: readonly string[]): string {
  const messages = raws.map(raw => JSON.parse(raw) as Readonly<Record<string, unknown>>)
  return historyItems(messages)
    .map(item => JSON.stringify(item))
    .join(',')
}
