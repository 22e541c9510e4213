import { isUtf8 } from 'node:buffer'
import { createInterface } from 'node:readline'
import type { Chat } from '../../chat/chat.ts'
import { SteleError } from '../../errors.ts'
import { writeJson } from '../output.ts'
import { ChatSession } from './chat-session.ts'
import { handleText } from './commands.ts'
import { PlainScreen } from './plain-screen.ts'

export interface PipedOptions {
  /** Each line is a question or a command; else the whole input is one question, whatever it says. */
  readonly isByLine: boolean
  /** Replies as JSON, one line each. */
  readonly isJson: boolean
  /** Aborted when the program is to end. */
  readonly stop: AbortController
}

/**
 * Answers what comes from a pipe or a file, in plain text, and ends with it.
 * @throws SteleError the first failure
 */
export async function answerInput(
  chat: Chat,
  input: NodeJS.ReadStream,
  { isByLine, isJson, stop }: PipedOptions,
): Promise<void> {
  const session = new ChatSession(chat, new PlainScreen(stop))
  const ask = (text: string): Promise<boolean> =>
    isJson ? answerAsJson(chat, text, stop.signal) : session.ask(text).then(() => true)
  if (!isByLine) {
    const text = await textOf(input, stop.signal)
    if (!stop.signal.aborted) await ask(text.replace(/\r?\n$/, ''))
    return
  }
  const lines = createInterface({ input, signal: stop.signal })
  for await (const line of lines) {
    if (line.trim() === '') continue
    const goesOn = isJson ? await ask(line) : await handleText(session, line)
    if (!goesOn || stop.signal.aborted) break
  }
  lines.close()
}

async function textOf(input: NodeJS.ReadStream, signal: AbortSignal): Promise<string> {
  const chunks: Buffer[] = []
  const onAbort = (): void => void input.destroy()
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    for await (const chunk of input) chunks.push(Buffer.from(chunk as Uint8Array))
  } catch (error) {
    if (!signal.aborted) throw error
  }
  const bytes = Buffer.concat(chunks)
  // What cannot be read would be asked, and kept, as something else than it is.
  if (!isUtf8(bytes)) throw new SteleError('usage', { reason: 'The input is not valid UTF-8.' })
  return bytes.toString('utf8')
}

async function answerAsJson(chat: Chat, text: string, signal: AbortSignal): Promise<boolean> {
  const answer = await chat.ask(text, signal, () => undefined)
  const { status, isCached, model, usage, callId, thread, error } = answer
  if (status === 'failed') throw error ?? new SteleError('internal_error')
  const told = {
    status,
    model,
    content: answer.text,
    conversation_id: thread.conversationId ?? null,
    session_id: thread.sessionId ?? null,
    call_id: callId ?? null,
    input_tokens: usage.inputTokens ?? null,
    output_tokens: usage.outputTokens ?? null,
    cached: isCached === true,
  }
  await writeJson(told, { inOneLine: true })
  return true
}
