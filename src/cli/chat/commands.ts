import type { ChatSession } from './chat-session.ts'
import { conversationCommands } from './conversation-commands.ts'
import type { Completion } from './line-editor.ts'
import { modelCommands } from './model-commands.ts'
import type { Line } from './styled.ts'
import { usageCommands } from './usage-commands.ts'
import { wrapWords } from './wrap.ts'

export interface ChatCommand {
  readonly name: string
  /** What may follow it, to show. */
  readonly takes?: string
  readonly help: string
  /** False when the chat is to end. */
  run(session: ChatSession, rest: string): Promise<unknown>
}

const commands: readonly ChatCommand[] = [
  ...conversationCommands,
  ...usageCommands,
  ...modelCommands,
  { name: 'help', help: 'this list', run: showHelp },
  { name: 'exit', help: 'leave; quit and Ctrl-D too', run: async () => false },
  { name: 'quit', help: '', run: async () => false },
]

/** Words that are commands without a slash, when nothing else is said. */
const bareWords: ReadonlySet<string> = new Set(['help', 'exit', 'quit', 'stats'])

/** The command that a text is, and what follows its name; undefined when it is none. */
function commandOf(text: string): { readonly name: string; readonly rest: string } | undefined {
  const trimmed = text.trim()
  const word = trimmed.toLowerCase()
  if (bareWords.has(word)) return { name: word, rest: '' }
  if (!trimmed.startsWith('/') || trimmed.startsWith('//')) return undefined
  const [, name = '', rest = ''] = /^\/(\S*)\s*([\s\S]*)$/.exec(trimmed) ?? []
  return { name: name.toLowerCase(), rest: rest.trim() }
}

/** Does what was typed: a command, or else a question. False when the chat is to end. */
export async function handleText(session: ChatSession, text: string): Promise<boolean> {
  const command = commandOf(text)
  if (command !== undefined) return runCommand(command, session)
  // A second slash says that the first is meant.
  if (text.trim() !== '') await session.ask(text.startsWith('//') ? text.slice(1) : text)
  return true
}

async function runCommand(
  { name, rest }: { readonly name: string; readonly rest: string },
  session: ChatSession,
): Promise<boolean> {
  const command = commands.find(known => known.name === name)
  if (command === undefined) {
    await session.screen.show([
      [{ text: `There is no command /${name}. /help lists them; // begins a message with a slash.` }],
      [],
    ])
    return true
  }
  try {
    return (await command.run(session, rest)) !== false
  } catch (error) {
    await session.fail(error)
    return true
  }
}

/** What a word that is being typed may become: a command, or a model after those that take one. */
export function completionOf(before: string, models: readonly string[]): Completion | undefined {
  if (/^\/\S*$/.test(before)) {
    const names = commands.map(({ name }) => `/${name}`)
    return { choices: names.filter(name => name.startsWith(before)), from: 0 }
  }
  const [, word] = /^\/(?:model|compare)\s+(?:\S+\s+)*(\S*)$/.exec(before) ?? []
  if (word === undefined) return undefined
  return { choices: models.filter(model => model.startsWith(word)), from: before.length - word.length }
}

/** Columns that the words about a command have at least. */
const narrowestHelp = 20

async function showHelp({ screen }: ChatSession): Promise<void> {
  const named = commands.filter(({ help }) => help !== '')
  const width = Math.max(...named.map(({ name, takes = '' }) => name.length + takes.length)) + 4
  const room = Math.max(narrowestHelp, (screen.width ?? Number.POSITIVE_INFINITY) - width)
  const lines = named.flatMap(({ name, takes = '', help }): Line[] => {
    const words = `/${name}${takes === '' ? '' : ` ${takes}`}`
    return wrapWords([{ text: help }], room).map((line, row) => [
      { text: (row === 0 ? words : '').padEnd(width), style: { color: 'cyan' } },
      ...line,
    ])
  })
  const more = [
    'stats, help, exit and quit work without the slash.',
    'A \\ at the end of a line, Alt-Enter or """ … """ makes a message of several lines.',
    'Ctrl-C stops a reply; what had come of it is kept. Ctrl-Z leaves for the shell, fg comes back.',
  ].map((text): Line => [{ text, style: { dim: true } }])
  await screen.show([...lines, [], ...more, []])
}
