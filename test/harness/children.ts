import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { onTestFinished } from 'vitest'
import type { Place } from './databases.ts'
import { packed } from './packed.ts'

/** Another process that works on the same place and answers line by line. */
export interface Child {
  /** The next line it prints, parsed as JSON. */
  next(): Promise<unknown>
  tell(line: string): void
  /** Ends it as a power cut would: nothing of it runs any more. */
  kill(): Promise<void>
  /** Waits for it to end by itself. */
  ended(): Promise<number | null>
}

/** Starts a script of test/fixtures; it reads where to work from its first argument. */
export function startChild(script: string, place: Place, more: Record<string, unknown> = {}): Child {
  const { databaseUrl, masterKey, schema } = place
  const { file, env } = packed(`test/fixtures/${script}`)
  const child = spawn(process.execPath, [file, JSON.stringify({ databaseUrl, masterKey, schema, ...more })], {
    env: { ...process.env, ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const exit = once(child, 'exit') as Promise<[number | null]>
  onTestFinished(() => endNow(child, exit))
  return {
    async next() {
      const { value, done } = await lines.next()
      if (done === true) throw new Error(`${script} ended without a word`)
      return JSON.parse(value) as unknown
    },
    tell: line => void child.stdin.write(`${line}\n`),
    kill: () => endNow(child, exit),
    ended: async () => (await exit)[0],
  }
}

async function endNow(child: ChildProcess, exit: Promise<unknown>): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
  await exit
}
