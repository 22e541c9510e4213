import { createRequire } from 'node:module'
import type { Terminal as HeadlessTerminal } from '@xterm/headless'
import { expect, onTestFinished } from 'vitest'
import { type Place, temporaryFolder } from '../harness/databases.ts'
import { packed } from '../harness/packed.ts'

const require = createRequire(import.meta.url)

type PtyModule = typeof import('@lydell/node-pty')

/** Why there is no pseudo-terminal on this platform; undefined when there is. */
export const noTerminal: string | undefined = loadError()

function loadError(): string | undefined {
  try {
    require('@lydell/node-pty')
    return undefined
  } catch (error) {
    return `no pseudo-terminal can be had here: ${String(error)}`
  }
}

export interface TerminalOptions {
  readonly place?: Place
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  readonly columns?: number
  readonly rows?: number
  /** Started by a shell that controls jobs, as a person starts it. */
  readonly inShell?: boolean
}

/** A program in a real pseudo-terminal, and what a person would see of it. */
export interface Terminal {
  readonly pid: number
  /** Types, or sends whatever else keys send. */
  type(text: string): void
  /** Types a text and Enter. */
  enter(text: string): void
  /** The lines of the screen and of what has left it at the top, without blank ones at the end. */
  lines(): string[]
  /** Waits until this is to be seen. */
  sees(text: string | RegExp): Promise<void>
  /** Everything that was written, as it was. */
  written(): string
  resize(columns: number, rows: number): void
  kill(signal: NodeJS.Signals): void
  /** Waits for its end. */
  ended(): Promise<{ exitCode: number; signal: number | undefined }>
}

/** Starts `stele` in a pseudo-terminal, in an environment that holds nothing but what is given. */
export async function startTerminal(
  args: readonly string[],
  options: TerminalOptions = {},
): Promise<Terminal> {
  const { spawn } = require('@lydell/node-pty') as PtyModule
  const { Terminal: Headless } = require('@xterm/headless') as { Terminal: typeof HeadlessTerminal }
  const { columns = 80, rows = 24, place, inShell = false } = options
  const cwd = options.cwd ?? (await temporaryFolder())
  const screen = new Headless({ cols: columns, rows, allowProposedApi: true, scrollback: 5_000 })
  const written: string[] = []
  const script = packed('src/cli/main.ts')
  const command = [script.file, ...args]
  const pty = spawn(inShell ? '/bin/sh' : process.execPath, inShell ? ['-i'] : command, {
    name: 'xterm-256color',
    cols: columns,
    rows,
    cwd,
    env: {
      PATH: process.env['PATH'] ?? '',
      TERM: 'xterm-256color',
      ...(inShell ? { PS1: '$ ' } : {}),
      ...script.env,
      ...(place === undefined
        ? {}
        : {
            DATABASE_URL: place.databaseUrl,
            STELE_MASTER_KEY: place.masterKey,
            ...(place.schema === undefined ? {} : { DB_SCHEMA: place.schema }),
          }),
      ...options.env,
    },
  })
  pty.onData(text => {
    written.push(text)
    screen.write(text)
  })
  if (inShell) pty.write(`${[process.execPath, ...command].join(' ')}\r`)
  const exit = new Promise<{ exitCode: number; signal: number | undefined }>(resolve =>
    pty.onExit(({ exitCode, signal }) => resolve({ exitCode, signal })),
  )
  let isOver = false
  void exit.then(() => {
    isOver = true
  })
  onTestFinished(async () => {
    if (!isOver) pty.kill('SIGKILL')
    await exit
    screen.dispose()
  })
  const lines = (): string[] => {
    const { active } = screen.buffer
    const all = Array.from(
      { length: active.length },
      (_, row) => active.getLine(row)?.translateToString(true).trimEnd() ?? '',
    )
    return all.slice(0, all.findLastIndex(line => line !== '') + 1)
  }
  return {
    pid: pty.pid,
    type: text => pty.write(text),
    enter: text => pty.write(`${text}\r`),
    lines,
    async sees(text) {
      const check = expect.poll(() => lines().join('\n'), { interval: 20 })
      if (typeof text === 'string') await check.toContain(text)
      else await check.toMatch(text)
    },
    written: () => written.join(''),
    resize(newColumns, newRows) {
      screen.resize(newColumns, newRows)
      pty.resize(newColumns, newRows)
    },
    kill: signal => pty.kill(signal),
    ended: () => exit,
  }
}
