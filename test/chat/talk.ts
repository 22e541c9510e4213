import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Answer, eventStream, startUpstream, type Upstream } from '../gateway/upstream.ts'
import { chunk, done } from '../gateway/wire.ts'
import { type Place, sqlitePlace, temporaryFolder } from '../harness/databases.ts'
import { startTerminal, type Terminal, type TerminalOptions } from './terminal.ts'

export const paste = (text: string): string => `\u001b[200~${text}\u001b[201~`
export const controlC = '\u0003'
export const controlD = '\u0004'
export const controlZ = '\u001a'
export const pasteMarksOff = '\u001b[?2004l'
export const arrowUp = '\u001b[A'

interface Talk {
  readonly place: Place
  readonly upstream: Upstream
  readonly terminal: Terminal
  /** The same chat once more, in another terminal. */
  again(args: readonly string[], options?: TerminalOptions): Promise<Terminal>
}

/** A chat on a SQLite file with a provider that does what a test says. */
export async function talk(
  answers: readonly Answer[],
  { args = ['--new'], ...options }: TerminalOptions & { args?: readonly string[] } = {},
): Promise<Talk> {
  const place = await sqlitePlace()
  const upstream = await startUpstream(...answers)
  const cwd = await temporaryFolder()
  const providers = {
    test: { baseUrl: upstream.baseUrl, retries: 0, models: ['gpt-test', 'gpt-other', 'small'] },
  }
  await writeFile(join(cwd, 'stele.config.json'), JSON.stringify({ providers }))
  const again: Talk['again'] = (more, changed = {}) =>
    startTerminal(['chat', '--user', 'ada', ...more], { place, cwd, ...options, ...changed })
  return { place, upstream, terminal: await again(args), again }
}

/** Streams pieces, each when it is let through. */
export function stepwise(): { answer: Answer; send(piece: string): void; end(): void } {
  const pieces: string[] = []
  let wake = (): void => undefined
  let isEnded = false
  const answer: Answer = async reply => {
    reply.head(200, eventStream)
    await reply.write(chunk({ role: 'assistant', content: '' }))
    for (;;) {
      const piece = pieces.shift()
      if (piece !== undefined) await reply.write(chunk({ content: piece }))
      else if (isEnded) break
      else
        await new Promise<void>(resolve => {
          wake = resolve
        })
    }
    reply.end(chunk({}, { finish: 'stop' }) + done)
  }
  return {
    answer,
    send(piece) {
      pieces.push(piece)
      wake()
    },
    end() {
      isEnded = true
      wake()
    },
  }
}

export const unending: Answer = async reply => {
  reply.head(200, eventStream)
  await reply.write(chunk({ role: 'assistant', content: 'Once upon a time' }))
}
