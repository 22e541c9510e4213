import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const root = new URL('../../', import.meta.url).pathname

test('no file has more than 400 lines', () => {
  const long = ['src', 'test', 'bench', 'examples', 'faults', 'scripts'].flatMap(folder =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter(name => name.endsWith('.ts') && !name.includes('node_modules'))
      .map(name => join(folder, name))
      .filter(name => readFileSync(join(root, name), 'utf8').trimEnd().split('\n').length > 400),
  )
  expect(long).toEqual([])
})
