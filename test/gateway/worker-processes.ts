import { execFileSync } from 'node:child_process'
import OpenAI from 'openai'
import { expect, onTestFinished } from 'vitest'
import type { GatewayProcess } from '../../faults/gateway-process.ts'
import type { Place } from '../harness/databases.ts'
import { serveProcess } from './serve-process.ts'
import { type Answer, eventStream } from './upstream.ts'
import { chunk, done } from './wire.ts'

export const apiKey = 'sk-test-0123456789abcdef'
/** Workers of each gateway. */
export const count = 2

export const clientOf = (address: string): OpenAI =>
  new OpenAI({ apiKey, baseURL: `${address}/v1`, maxRetries: 0, timeout: 30_000 })

export async function startWorkers(place: Place, env: Record<string, string> = {}): Promise<GatewayProcess> {
  const args = ['--workers', String(count)]
  const gateway = await serveProcess({ place, args, env: { STELE_API_KEY: apiKey, ...env } })
  onTestFinished(() => {
    for (const pid of workersOf(gateway)) if (isAlive(pid)) process.kill(pid, 'SIGKILL')
  })
  await gateway.address
  await expect.poll(() => workersListening(gateway), { timeout: 30_000 }).toBe(count)
  return gateway
}

/** The processes that a gateway has started and not seen the end of, oldest first. */
export function workersOf({ pid }: GatewayProcess): number[] {
  try {
    const said = execFileSync('pgrep', ['-P', String(pid)], { encoding: 'utf8' })
    return said
      .trim()
      .split('\n')
      .map(Number)
      .sort((a, b) => a - b)
  } catch {
    return []
  }
}

/** A process id that is missing must not become 0, which is everyone. */
export function kill(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) throw new Error('there is no such worker')
  process.kill(pid, signal)
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

interface LogLine {
  readonly msg: string
  readonly worker?: number
  readonly pause?: number
}

export const linesOf = (gateway: GatewayProcess): LogLine[] =>
  gateway
    .stderr()
    .split('\n')
    .slice(0, -1)
    .map(line => JSON.parse(line) as LogLine)

export const workersListening = (gateway: GatewayProcess): number =>
  linesOf(gateway).filter(({ msg }) => msg.startsWith('Server listening')).length

/** A stream that goes on when it is let. */
export function heldStream(): { answer: Answer; release: () => void } {
  const held = Promise.withResolvers<void>()
  return {
    release: held.resolve,
    answer: async reply => {
      reply.head(200, eventStream)
      await reply.write(chunk({ role: 'assistant', content: 'once ' }))
      await held.promise
      reply.end(chunk({ content: 'upon' }, { finish: 'stop' }) + done)
    },
  }
}
