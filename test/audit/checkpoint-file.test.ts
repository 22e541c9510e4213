import { appendFile, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { checkpointLine } from '../../src/audit/export-line.ts'
import { CheckpointFile } from '../../src/audit/places/checkpoint-file.ts'
import { temporaryFolder } from '../harness/databases.ts'
import { noteOf } from '../harness/growing-log.ts'

const lineOf = (size: number): string => `${checkpointLine(noteOf(size))}\n`

async function start() {
  const path = join(await temporaryFolder(), 'outside', 'checkpoints.jsonl')
  const open = (): CheckpointFile => {
    const file = new CheckpointFile(path)
    onTestFinished(() => file.close())
    return file
  }
  return { path, open, file: open() }
}

test('has each checkpoint once, whoever is restarted', async () => {
  const { path, open, file } = await start()
  expect(await file.last()).toBeUndefined()
  for (const size of [3, 3, 5, 4]) expect(await file.write(noteOf(size))).toBe(true)
  await file.close()
  await appendFile(path, lineOf(9).slice(0, 30))
  const again = open()
  expect(await again.last()).toEqual({ size: 5, note: noteOf(5) })
  for (const size of [5, 6]) await again.write(noteOf(size))
  expect(await readFile(path, 'utf8')).toBe([3, 5, 6].map(lineOf).join(''))
  expect((await stat(path)).mode & 0o777).toBe(0o600)
})

test('is written by one process at a time, and read by all', async () => {
  const { open, file } = await start()
  await file.write(noteOf(3))
  const other = open()
  expect(await other.write(noteOf(4))).toBe(false)
  expect(await other.last()).toEqual({ size: 3, note: noteOf(3) })
  await file.close()
  expect(await other.write(noteOf(4))).toBe(true)
})

test('is left as somebody else has made it; another one stands in for it, with what is known', async () => {
  const { path, open, file } = await start()
  await file.write(noteOf(3))
  await writeFile(path, lineOf(8))
  expect(await file.last()).toEqual({ size: 3, note: noteOf(3) })
  expect(await file.damage()).toBe('edited')
  await file.write(noteOf(3))
  expect(await file.damage()).toBeUndefined()
  await file.write(noteOf(4))
  expect(await readFile(path, 'utf8')).toBe(lineOf(8))
  expect(await readFile(`${path}.2`, 'utf8')).toBe(lineOf(3) + lineOf(4))
  await file.close()
  expect((await open().last())?.size).toBe(4)
})

test('is made again when it was removed', async () => {
  const { path, file } = await start()
  await file.write(noteOf(3))
  await rm(path)
  expect(await file.damage()).toBe('removed')
  await file.write(noteOf(3))
  expect(await readFile(path, 'utf8')).toBe(lineOf(3))
})
