import { SteleError } from '../../errors.ts'
import { printableLine, printableText } from '../printable.ts'
import type { ChatSession } from './chat-session.ts'
import type { ChatCommand } from './commands.ts'
import type { Line } from './styled.ts'

/** Commands about who is asked, and how. */
export const modelCommands: readonly ChatCommand[] = [
  {
    name: 'model',
    takes: '[NAME]',
    help: 'ask another model from now on; without a name, list them',
    run: changeModel,
  },
  {
    name: 'compare',
    takes: '[MODEL MODEL …]',
    help: 'ask several models the next question, side by side, and take one reply',
    run: compare,
  },
  {
    name: 'system',
    takes: '[TEXT | off]',
    help: 'set the system prompt; without a text, show it',
    run: changeSystem,
  },
]

async function changeModel(session: ChatSession, name: string): Promise<void> {
  const { chat, screen } = session
  if (name !== '') {
    chat.model = name
    return screen.show([note(`${printableLine(name)} is asked from now on.`), []])
  }
  const models = await session.wait(chat.backend.models())
  const lines = models.map((model): Line => {
    const isCurrent = model === chat.model
    return [
      { text: `${isCurrent ? '→' : ' '} ${printableLine(model)}`, style: isCurrent ? { bold: true } : {} },
    ]
  })
  const isListed = models.includes(chat.model)
  const current = isListed || chat.model === '' ? [] : [note(`${printableLine(chat.model)} is asked now.`)]
  await screen.show([...(lines.length === 0 ? [note('No model is listed.')] : lines), ...current, []])
}

async function compare(session: ChatSession, rest: string): Promise<void> {
  const { chat, screen } = session
  const named = rest.split(/\s+/).filter(name => name !== '')
  const listed = named.length > 0 ? named : await session.wait(chat.backend.models())
  const models = [...new Set(named.length > 0 ? named : listed.slice(0, mostCompared))]
  if (models.length < 2 || models.length > mostCompared)
    throw new SteleError('usage', {
      reason: `Name the models to compare, 2 to ${mostCompared}: /compare MODEL MODEL`,
    })
  session.compared = models
  await screen.show([note(`The next question goes to ${models.map(printableLine).join(', ')}.`), []])
}

const mostCompared = 6

async function changeSystem({ chat, screen }: ChatSession, text: string): Promise<void> {
  if (text === '') {
    const words = chat.system === undefined ? 'There is no system prompt.' : printableText(chat.system)
    return screen.show([[{ text: words }], []])
  }
  chat.setSystem(text === 'off' ? undefined : text)
  await screen.show([
    note(text === 'off' ? 'There is no system prompt any more.' : 'The system prompt is set.'),
    [],
  ])
}

function note(text: string): Line {
  return [{ text, style: { dim: true } }]
}
