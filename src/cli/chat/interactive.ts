import type { Chat } from '../../chat/chat.ts'
import { SteleError } from '../../errors.ts'
import { printableLine } from '../printable.ts'
import { ChatSession } from './chat-session.ts'
import { completionOf, handleText } from './commands.ts'
import { resume, summaryText } from './conversation-commands.ts'
import type { Line } from './styled.ts'
import type { TerminalScreen } from './terminal-screen.ts'

export interface InteractiveOptions {
  /** Which conversation to go on with: this one, the last one, a new one, or whatever the person says. */
  readonly conversation: { readonly id: string } | 'last' | 'new' | 'ask'
  /** The model to ask, whoever answered before. */
  readonly model: string | undefined
  /** The system prompt of this run, in place of what a conversation had. */
  readonly system: string | undefined
  /** What a newcomer should know, if anything. */
  readonly notice: string | undefined
}

/** Holds a chat in a terminal until the person leaves. */
export async function holdChat(
  chat: Chat,
  screen: TerminalScreen,
  options: InteractiveOptions,
): Promise<void> {
  const session = new ChatSession(chat, screen)
  await greet(session, options.notice)
  await begin(session, options)
  const models = chat.backend.models().catch(() => [])
  let known: readonly string[] = []
  void models.then(listed => {
    known = listed
  })
  const history = chat.transcript.filter(({ role }) => role === 'user').map(({ text }) => text)
  for (let interrupts = 0; ; ) {
    const typed = await screen.prompt({
      prompt: { text: '› ', style: { bold: true, color: 'green' } },
      history,
      isMultiline: true,
      complete: before => completionOf(before, known),
    })
    if (typed.kind === 'end') return
    if (typed.kind === 'interrupt') {
      if (interrupts++ > 0) return
      await screen.show([note('Ctrl-C again, Ctrl-D or exit leaves.')])
      continue
    }
    interrupts = 0
    if (typed.text.trim() !== '' && history.at(-1) !== typed.text) history.push(typed.text)
    if (typed.text.trim() !== '') await screen.show([[]])
    if (!(await handleText(session, typed.text)) || screen.isOver) return
  }
}

async function greet({ chat, screen }: ChatSession, notice: string | undefined): Promise<void> {
  const { model, backend } = chat
  const facts = [...(model === '' ? [] : [model]), backend.place].map(printableLine).join(' · ')
  await screen.show([
    [
      { text: 'stele chat', style: { bold: true, color: 'cyan' } },
      { text: ` · ${facts}`, style: { dim: true } },
    ],
    ...(notice === undefined ? [] : [note(notice)]),
    note('/help lists the commands · Ctrl-C stops a reply · Ctrl-D leaves'),
    [],
  ])
}

async function begin(session: ChatSession, options: InteractiveOptions): Promise<void> {
  const { chat } = session
  const { conversation, model, system } = options
  try {
    if (conversation === 'ask') await offerLast(session)
    else if (conversation === 'last') await resumeLast(session)
    else if (conversation !== 'new') await resume(session, conversation.id)
  } catch (error) {
    await session.fail(error)
  }
  if (model !== undefined) chat.model = model
  if (system !== undefined) chat.setSystem(system)
}

async function resumeLast(session: ChatSession): Promise<void> {
  const [last] = await session.wait(session.chat.backend.sessions(1))
  if (last === undefined) await session.screen.show([note('There is no conversation to go on with yet.'), []])
  else await resume(session, last.id)
}

/** Where conversations cannot be listed there is nothing to offer, and no reason to complain of it. */
async function offerLast(session: ChatSession): Promise<void> {
  const { chat, screen } = session
  const [last] = await session.wait(chat.backend.sessions(1)).catch((error: unknown) => {
    if (error instanceof SteleError && error.code === 'usage') return []
    throw error
  })
  if (last === undefined) return
  await screen.show([[{ text: 'Last conversation: ', style: { dim: true } }, { text: summaryText(last) }]])
  for (;;) {
    const typed = await screen.choose('Enter goes on with it, n begins a new one, l lists all:')
    const word = typed?.toLowerCase()
    if (word === undefined || word === 'n') {
      await screen.show([[]])
      return
    }
    if (word === '' || word === 'y') return resume(session, last.id)
    if (word === 'l') return resume(session, '')
  }
}

function note(text: string): Line {
  return [{ text, style: { dim: true } }]
}
