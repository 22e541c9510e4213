import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

test('the worked example of documents runs offline and shows what it promises', async () => {
  const path = fileURLToPath(new URL('../../examples/documents.ts', import.meta.url))
  const child = spawn(process.execPath, [path], { stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = once(child, 'exit')
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)])
  expect((await ended)[0], stderr).toBe(0)
  const lines = stdout.split('\n')
  expect(lines[0]).toBe('made        completed, 2 calls, 360 tokens')
  expect(lines[1]).toContain('"next_appointment":"2026-12-01"')
  expect(lines[2]).toBe('made again  number 2, in place of the one before: true')
  expect(lines[3]).toContain('document_input_invalid')
  expect(lines[4]).toContain('provider_error')
  expect(lines.filter(line => line.startsWith('on record'))).toHaveLength(3)
  expect(lines.at(-2)).toContain('error rate 0.33')
})
