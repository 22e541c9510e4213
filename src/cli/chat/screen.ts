import type { Answer } from '../../chat/backend.ts'
import type { Line } from './styled.ts'

/** Where a chat is held: a terminal, or plain text in and out. */
export interface ChatScreen {
  /** Columns that a line may take; undefined when there is no limit. */
  readonly width: number | undefined
  /** Shows something for good. */
  show(lines: readonly Line[]): Promise<void>
  /** Shows a Markdown text as it looks here. */
  showMarkdown(text: string): Promise<void>
  /** Tells something beside what is said, whatever is going on. */
  notify(text: string): void
  /** Tells what went wrong. @throws the error itself where nobody could do anything about it */
  fail(error: Error): Promise<void>
  /** Asks for a short answer; undefined when none is to be had. */
  choose(question: string): Promise<string | undefined>
  reply(model: string): ReplyView
  comparison(models: readonly string[]): ComparisonView
  /** Does work that the person may stop. */
  interruptible<R>(work: (signal: AbortSignal) => Promise<R>): Promise<R>
}

/** A reply as it is shown. */
export interface ReplyView {
  add(text: string): void
  /** Undefined when there is none after all. */
  end(answer: Answer | undefined): Promise<void>
}

/** Several replies as they are shown, by their index. */
export interface ComparisonView {
  add(index: number, text: string): void
  end(answers: readonly Answer[] | undefined): Promise<void>
}
