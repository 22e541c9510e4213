import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const index = fileURLToPath(new URL('../../src/index.ts', import.meta.url))

/** Opens a store, records a call whose tokens must be counted, and tells what was loaded until when. */
const program = `
import { registerHooks } from 'node:module'
const loaded = new Set()
registerHooks({
  load(url, context, next) {
    const [name] = /genai-prices|gpt-tokenizer/.exec(url) ?? []
    if (name !== undefined) loaded.add(name)
    return next(url, context)
  },
})
const { openStele } = await import(${JSON.stringify(index)})
const stele = await openStele({ databaseUrl: 'sqlite::memory:' })
const atFirst = [...loaded]
const messages = [{ role: 'user', content: 'Hello' }]
const { callId } = await stele.saveInteraction({ userId: 'ada', model: 'gpt-4o', messages, responseText: 'Hi' })
const { inputTokens, costNanousd } = await stele.calls.get('ada', callId)
await stele.close()
console.log(JSON.stringify({ atFirst, later: [...loaded], inputTokens, costNanousd }))
`

test('opening loads no prices and no tokenizer; the tokenizer never comes into the main thread, nor keeps a program alive', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program])
  expect(JSON.parse(stdout)).toEqual({
    atFirst: [],
    later: ['genai-prices'],
    inputTokens: 8,
    costNanousd: 8 * 2_500 + 1 * 10_000,
  })
})
