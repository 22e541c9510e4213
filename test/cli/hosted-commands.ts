import { type ChildProcess, fork } from 'node:child_process'
import type { HostedCommand, HostedEnd } from '../fixtures/command-host.ts'
import { packed } from '../harness/packed.ts'

let host: ChildProcess | undefined
let last: Promise<unknown> = Promise.resolve()

/** Commands that take over their process: they listen to signals, read stdin, or go on until they are stopped. */
const alone = new Set(['serve', 'chat', 'tail'])

/** Whether a command leaves a process as it found it. */
export function canBeHosted(args: readonly string[]): boolean {
  return !args.some(arg => alone.has(arg))
}

/** Runs a command in a process that has run others before, one at a time. */
export function runHosted(command: HostedCommand): Promise<HostedEnd> {
  const end = last.then(() => ask(command))
  last = end.catch(() => undefined)
  return end
}

async function ask(command: HostedCommand): Promise<HostedEnd> {
  host ??= start()
  const current = host
  current.ref()
  current.channel?.ref()
  try {
    return await new Promise((resolve, reject) => {
      current.once('message', answer => resolve(answer as HostedEnd))
      current.once('exit', () => reject(new Error('the process that runs commands has ended')))
      current.send(command)
    })
  } catch (error) {
    host = undefined
    throw error
  } finally {
    current.removeAllListeners()
    current.channel?.unref()
    current.unref()
  }
}

function start(): ChildProcess {
  const { file, env } = packed('test/fixtures/command-host.ts')
  const started = fork(file, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  started.unref()
  started.channel?.unref()
  return started
}
