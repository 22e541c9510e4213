import {
  appendFile,
  chmod,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  truncate,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { Follower, type FollowerOptions } from '../../src/audit/places/follower.ts'
import { temporaryFolder } from '../harness/databases.ts'
import { GrowingLog, lineOf, noon, noteOf } from '../harness/growing-log.ts'

const day = 86_400_000
const first = 'audit-2026-11-22_01.jsonl'
const beside = 'audit-2026-11-22_02.jsonl'

interface Following {
  readonly folder: string
  readonly log: GrowingLog
  readonly round: Follower['round']
  readonly clock: { now: number }
  /** A follower as another process would start it. */
  again(options?: Partial<FollowerOptions>): Follower
  close(): Promise<void>
}

async function follow(): Promise<Following> {
  const folder = join(await temporaryFolder(), 'log')
  const log = new GrowingLog()
  const clock = { now: noon }
  const again = (options: Partial<FollowerOptions> = {}): Follower => {
    const follower = new Follower({ folder, source: log, now: () => clock.now, ...options })
    onTestFinished(() => follower.close())
    return follower
  }
  const follower = again()
  return { folder, log, clock, again, round: () => follower.round(), close: () => follower.close() }
}

const names = async (folder: string): Promise<string[]> =>
  (await readdir(folder)).filter(name => name.startsWith('audit')).sort()

const linesOf = async (folder: string, name: string): Promise<string[]> => {
  const text = await readFile(join(folder, name), 'utf8')
  expect(text === '' || text.endsWith('\n')).toBe(true)
  return text.split('\n').slice(0, -1)
}

/** The leaf indexes in a file, and nothing but lines that are as they should be. */
const indexesIn = async (folder: string, name: string): Promise<number[]> => {
  const found: number[] = []
  for (const line of await linesOf(folder, name)) {
    const { index } = JSON.parse(line) as { index?: number }
    if (index === undefined) continue
    expect(line).toBe(lineOf(index))
    found.push(index)
  }
  return found
}

const upTo = (count: number, from = 0): number[] => Array.from({ length: count - from }, (_, at) => from + at)

describe('files of the log', () => {
  it('have each event once, with the checkpoints where they belong', async () => {
    const { folder, log, round } = await follow()
    expect(await round()).toMatchObject({ state: 'writing', position: 0, currentUntil: noon })
    log.grow(3)
    log.grow(2)
    expect(await round()).toMatchObject({ position: 5, written: 5, tampered: [] })
    log.grow(100)
    await round()
    const lines = await linesOf(folder, first)
    expect(lines.slice(0, 8)).toEqual([
      '{"key":"log+00000000+key"}',
      lineOf(0),
      lineOf(1),
      lineOf(2),
      JSON.stringify({ checkpoint: noteOf(3) }),
      lineOf(3),
      lineOf(4),
      JSON.stringify({ checkpoint: noteOf(5) }),
    ])
    expect(lines.at(-1)).toBe(JSON.stringify({ checkpoint: noteOf(105) }))
    expect(lines).toHaveLength(1 + 105 + 3)
    expect(await indexesIn(folder, first)).toEqual(upTo(105))
    expect((await stat(join(folder, first))).mode & 0o777).toBe(0o600)
    expect((await stat(folder)).mode & 0o777).toBe(0o700)
  })

  it('begin anew each day, and never go back', async () => {
    const { folder, log, clock, round } = await follow()
    log.grow(2)
    await round()
    clock.now += day
    await round()
    expect(await names(folder)).toEqual([first])
    log.grow(2)
    await round()
    clock.now -= day
    log.grow(2)
    await round()
    expect(await indexesIn(folder, first)).toEqual([0, 1])
    expect(await indexesIn(folder, 'audit-2026-11-23_01.jsonl')).toEqual([2, 3, 4, 5])
  })

  it('are gone on with after a restart, a half line included', async () => {
    const { folder, log, round, close, again } = await follow()
    log.grow(50)
    await round()
    await close()
    await appendFile(join(folder, first), lineOf(50).slice(0, 20))
    log.grow(5)
    expect(await again().round()).toMatchObject({ position: 55, written: 5, tampered: [] })
    expect(await names(folder)).toEqual([first])
    expect(await indexesIn(folder, first)).toEqual(upTo(55))
  })

  it('get the checkpoint that a crash has kept from them', async () => {
    const { folder, log, round, close, again } = await follow()
    log.grow(5)
    await round()
    await close()
    const path = join(folder, first)
    const text = await readFile(path, 'utf8')
    await writeFile(path, text.slice(0, text.indexOf('{"checkpoint"')))
    log.grow(1)
    await again().round()
    const sizes = (await linesOf(folder, first)).filter(line => line.startsWith('{"checkpoint"'))
    expect(sizes).toEqual([5, 6].map(size => JSON.stringify({ checkpoint: noteOf(size) })))
  })

  it('are written by one process; another takes over when it ends', async () => {
    const { folder, log, round, close, again } = await follow()
    log.grow(5)
    await round()
    const other = again()
    expect(await other.round()).toMatchObject({ state: 'standby', position: 5, currentUntil: noon })
    log.grow(5)
    expect(await other.round()).toMatchObject({ state: 'standby', currentUntil: noon - 1_000 + 5 })
    await close()
    expect(await other.round()).toMatchObject({ state: 'writing', position: 10, tampered: [] })
    expect(await indexesIn(folder, first)).toEqual(upTo(10))
  })

  it('catch up after the log was away', async () => {
    const { log, round } = await follow()
    log.grow(2)
    await round()
    log.isAway = true
    expect(await round()).toMatchObject({ state: 'log_failing', reason: 'away', currentUntil: noon })
    log.isAway = false
    log.grow(2)
    expect(await round()).toMatchObject({ state: 'writing', position: 4 })
  })

  it('are not gone on with when the log has less than they have', async () => {
    const { folder, log, round, close, again } = await follow()
    log.grow(5)
    await round()
    await close()
    log.size = 4
    expect(await again().round()).toMatchObject({ state: 'log_behind', written: 0 })
    expect(await indexesIn(folder, first)).toEqual(upTo(5))
  })
})

describe('somebody else who changes a file', () => {
  const harms: Record<string, (path: string) => Promise<unknown>> = {
    removed: path => rm(path),
    truncated: path => truncate(path, 300),
    edited: async path => {
      const text = await readFile(path, 'utf8')
      await writeFile(path, text.replace('event 3 ', 'event 4 '))
    },
    replaced: async path => {
      await writeFile(`${path}.new`, await readFile(path))
      await rename(`${path}.new`, path)
    },
  }

  for (const [how, harm] of Object.entries(harms)) {
    it(`is noticed at once (${how}), and what is missing is written beside`, async () => {
      const { folder, log, round } = await follow()
      log.grow(50)
      await round()
      await harm(join(folder, first))
      const evidence = await readFile(join(folder, first)).catch(() => undefined)
      log.grow(1)
      const { tampered, position } = await round()
      expect(tampered).toEqual([{ file: first, how, from: 0, to: 50 }])
      expect(position).toBe(51)
      if (evidence !== undefined) expect((await readFile(join(folder, first))).equals(evidence)).toBe(true)
      expect(await indexesIn(folder, how === 'removed' ? first : beside)).toEqual(upTo(51))
      expect((await round()).tampered).toEqual([])
    })
  }

  it('is noticed when he adds a line', async () => {
    const { folder, log, round } = await follow()
    log.grow(5)
    await round()
    await appendFile(join(folder, first), `${lineOf(5)}\n`)
    expect((await round()).tampered).toMatchObject([{ how: 'edited' }])
  })

  it('is not suspected when the file was but looked at, or its mode changed', async () => {
    const { folder, log, round } = await follow()
    log.grow(5)
    await round()
    await chmod(join(folder, first), 0o640)
    log.grow(5)
    expect((await round()).tampered).toEqual([])
    expect(await indexesIn(folder, first)).toEqual(upTo(10))
  })

  it('is noticed at the next start: last lines that the log does not have', async () => {
    const { folder, log, round, close, again } = await follow()
    log.grow(50)
    await round()
    await close()
    const path = join(folder, first)
    await writeFile(path, (await readFile(path, 'utf8')).replace('event 47 ', 'event 46 '))
    log.grow(1)
    expect((await again().round()).tampered).toEqual([{ file: first, how: 'edited', from: 0, to: 50 }])
    expect(await indexesIn(folder, beside)).toEqual(upTo(51))
  })

  it('is noticed at the next start: fewer lines than there were', async () => {
    const { folder, log, round, close, again } = await follow()
    log.grow(50)
    await round()
    await close()
    const path = join(folder, first)
    await writeFile(path, `${(await readFile(path, 'utf8')).split('\n').slice(0, 39).join('\n')}\n`)
    const { tampered } = await again({ expected: 50 }).round()
    expect(tampered).toEqual([{ file: first, how: 'truncated', from: 38, to: 50 }])
    expect(await indexesIn(folder, first)).toEqual(upTo(38))
    expect(await indexesIn(folder, beside)).toEqual(upTo(50, 38))
  })

  it('is noticed at the next start: a file of an earlier day is gone', async () => {
    const { folder, log, clock, round, close, again } = await follow()
    for (let number = 0; number < 3; number++) {
      log.grow(50)
      await round()
      clock.now += day
    }
    await close()
    await rm(join(folder, 'audit-2026-11-23_01.jsonl'))
    const follower = again()
    const { tampered } = await follower.round()
    expect(tampered).toEqual([{ file: '', how: 'removed', from: 50, to: 100 }])
    await follower.round()
    expect(await indexesIn(folder, beside)).toEqual(upTo(100, 50))
    await follower.close()
    expect((await again().round()).tampered).toEqual([])
  })

  it('is not suspected when a file was archived with a marker', async () => {
    const { folder, log, clock, round, close, again } = await follow()
    log.grow(50)
    await round()
    clock.now += day
    log.grow(50)
    await round()
    await close()
    await writeFile(join(folder, `${first}.archived`), '')
    await rm(join(folder, first))
    expect(await again().round()).toMatchObject({ tampered: [], position: 100 })
    expect(await names(folder)).toEqual([`${first}.archived`, 'audit-2026-11-23_01.jsonl'])
  })

  it('loses nothing when he removes the whole folder', async () => {
    const { folder, log, round } = await follow()
    log.grow(50)
    await round()
    await rm(folder, { recursive: true })
    log.grow(1)
    expect((await round()).tampered).toMatchObject([{ how: 'removed' }])
    expect(await indexesIn(folder, first)).toEqual(upTo(51))
  })

  it('cannot stop it for good: it goes on by itself when the folder can be written again', async () => {
    const { folder, log, round } = await follow()
    log.grow(5)
    await round()
    await rm(folder, { recursive: true })
    await writeFile(folder, 'in the way')
    log.grow(5)
    expect(await round()).toMatchObject({ state: 'files_failing', currentUntil: noon })
    await rm(folder)
    await mkdir(folder)
    expect(await round()).toMatchObject({ state: 'writing', position: 10 })
    expect(await indexesIn(folder, first)).toEqual(upTo(10))
  })
})
