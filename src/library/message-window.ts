import { SteleError } from '../errors.ts'
import type { Message } from '../store/messages.ts'

/** How many tokens a message takes. */
export type TokenCounter = (message: Message) => number

export interface WindowLimits {
  readonly messages: number
  readonly tokens: number
  readonly countTokens: TokenCounter
}

export interface MessageWindow {
  readonly messages: Message[]
  /** Whether a limit was reached, so that older messages would change nothing. */
  readonly isFull: boolean
}

/** A quarter of the UTF-8 bytes of its JSON text, rounded up: near enough for English, high for most other languages. */
export const estimateTokens: TokenCounter = ({ raw }) => Math.ceil(Buffer.byteLength(raw) / 4)

export const systemRoles = ['system', 'developer']

/** Whether it holds instructions. */
export function isSystem({ role }: Pick<Message, 'role'>): boolean {
  return systemRoles.includes(role)
}

/**
 * The newest messages that fit. With `system`, all system messages of the conversation, these come first: the first of
 * them that fit, and then of the others the newest that fit beside them.
 * @param newest the newest messages, oldest first, without a gap
 */
export function windowOf(
  newest: readonly Message[],
  system: readonly Message[] | undefined,
  limits: WindowLimits,
): MessageWindow {
  let messages = limits.messages
  let tokens = limits.tokens
  const fits = (message: Message): boolean => {
    const taken = Number.isFinite(limits.tokens) ? counted(message, limits.countTokens) : 0
    if (messages < 1 || taken > tokens) return false
    messages--
    tokens -= taken
    return true
  }
  const kept: Message[] = []
  for (const message of system ?? []) {
    if (!fits(message)) return { messages: kept, isFull: true }
    kept.push(message)
  }
  const chosen: Message[] = []
  for (let at = newest.length - 1; at >= 0; at--) {
    const message = newest[at]
    if (message === undefined) break
    if (system !== undefined && isSystem(message)) continue
    if (!fits(message)) return { messages: inOrder(kept, chosen), isFull: true }
    chosen.push(message)
  }
  return { messages: inOrder(kept, chosen), isFull: messages < 1 }
}

function inOrder(kept: readonly Message[], chosen: readonly Message[]): Message[] {
  return [...kept, ...chosen].sort((a, b) => a.seq - b.seq)
}

function counted(message: Message, countTokens: TokenCounter): number {
  const tokens = countTokens(message)
  if (typeof tokens === 'number' && tokens >= 0) return tokens
  throw new SteleError(
    'invalid_value',
    { name: 'countTokens', reason: 'it must return a number that is not negative' },
    { param: 'countTokens' },
  )
}
