import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { resolveConfig } from '../../src/config.ts'
import { environmentVariables } from '../../src/config-environment.ts'

const root = new URL('../../', import.meta.url)
const read = (name: string) => readFileSync(new URL(name, root), 'utf8')

test.each(['.env.example', 'docs/configuration.md'])('%s names every environment variable', name => {
  const text = read(name)
  const missing = Object.keys(environmentVariables).filter(variable => !text.includes(variable))
  expect(missing).toEqual([])
})

test('docs/configuration.md names every setting that the environment gives', () => {
  const text = read('docs/configuration.md')
  const missing = Object.values(environmentVariables).filter(setting => !text.includes(`\`${setting}\``))
  expect(missing).toEqual([])
})

test('docs/configuration.md names every setting that has a default, of providers too', () => {
  const config = resolveConfig({ providers: { one: { baseUrl: 'http://127.0.0.1:1/v1' } } }, {})
  const names = [...Object.keys(config), ...Object.keys(config.providers['one'] ?? {})]
  expect(names).toEqual(expect.arrayContaining(['retryBudget', 'breakerCoolDown']))
  const text = read('docs/configuration.md')
  expect(names.filter(name => !text.includes(`\`${name}\``))).toEqual([])
})

test('.env.example sets nothing by itself and offers no variable that Stele does not read', () => {
  const lines = read('.env.example')
    .split('\n')
    .filter(line => /^#?[A-Z_]+=/.test(line))
  expect(lines.filter(line => !line.startsWith('#'))).toEqual([])
  const known = new Set([...Object.keys(environmentVariables), 'STELE_CONFIG'])
  expect(lines.map(line => /^#?([A-Z_]+)=/.exec(line)?.[1] ?? '').filter(name => !known.has(name))).toEqual(
    [],
  )
})
