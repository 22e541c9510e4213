/** What a question carries so that every journal can tell which one it is, and how long its answer is to be. */
export interface Mark {
  readonly round: number
  readonly conversation: number
  readonly turn: number
  readonly replyTokens: number
}

const marks = /mark-[0-9]+-[0-9]+-[0-9]+-[0-9]+/g

export function markText({ round, conversation, turn, replyTokens }: Mark): string {
  return `mark-${round}-${conversation}-${turn}-${replyTokens}`
}

/** The mark of a request: that of its last message, as earlier ones are sent again. */
export function markOf(body: string): string {
  return body.match(marks)?.at(-1) ?? 'no mark'
}

/** The client's conversation that a mark belongs to. */
export function conversationOf(mark: string): string {
  return mark.split('-').slice(1, 3).join('-')
}

export function replyTokensOf(mark: string): number {
  return Number(mark.split('-')[4] ?? 1)
}
