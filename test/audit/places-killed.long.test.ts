import { type ChildProcess, spawn } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, onTestFinished, test } from 'vitest'
import { temporaryFolder } from '../harness/databases.ts'
import { lineOf, noteOf } from '../harness/growing-log.ts'
import { packed } from '../harness/packed.ts'

interface Round {
  readonly state: string
  readonly position: number
  readonly tampered: readonly unknown[]
}

const size = 20_000
const mostInARound = 97

interface Following {
  readonly child: ChildProcess
  /** What its last round came to. */
  last: Round
}

function startFollowing(folder: string): Following {
  const { file, env } = packed('test/fixtures/follow.ts')
  const child = spawn(process.execPath, [file, JSON.stringify({ folder, size, mostInARound })], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  const following: Following = { child, last: { state: 'none', position: 0, tampered: [] } }
  createInterface({ input: child.stdout }).on('line', line => {
    const round = JSON.parse(line) as Round
    following.last = { ...round, tampered: [...following.last.tampered, ...round.tampered] }
  })
  return following
}

test('a process that is killed while it writes loses no event and doubles none, whoever goes on', {
  timeout: 60_000,
}, async () => {
  const folder = join(await temporaryFolder(), 'log')
  let following = [startFollowing(folder), startFollowing(folder)]
  const writer = (position: number) =>
    following.find(({ last }) => last.state === 'writing' && last.position > position)
  for (const share of [0.1, 0.3, 0.6]) {
    await expect.poll(() => writer(size * share), { timeout: 15_000, interval: 1 }).toBeDefined()
    const killed = writer(size * share)
    killed?.child.kill('SIGKILL')
    following = [...following.filter(one => one !== killed), startFollowing(folder)]
    expect(killed?.last.tampered).toEqual([])
  }
  const isDone = () => following.some(({ last }) => last.position === size)
  await expect.poll(isDone, { timeout: 15_000 }).toBe(true)
  expect(following.flatMap(({ last }) => last.tampered)).toEqual([])
  const names = (await readdir(folder)).filter(name => name.endsWith('.jsonl'))
  expect(names).toEqual(['audit-2026-11-22_01.jsonl'])
  const text = await readFile(join(folder, names[0] ?? ''), 'utf8')
  const lines = text.split('\n').filter(line => !line.startsWith('{"key"'))
  expect(lines.pop()).toBe('')
  const events = lines.filter(line => line.startsWith('{"index"'))
  expect(events).toHaveLength(size)
  expect(events.every((line, index) => line === lineOf(index))).toBe(true)
  const sizes = lines.flatMap((line, at) => (line.startsWith('{"checkpoint"') ? [[line, at] as const] : []))
  for (const [line] of sizes) {
    const { checkpoint } = JSON.parse(line) as { checkpoint: string }
    expect(checkpoint).toBe(noteOf(Number(checkpoint.split('\n')[1])))
  }
})
