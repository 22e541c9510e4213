import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { json, startUpstream, type Upstream } from '../gateway/upstream.ts'
import { sqlitePlace, temporaryFolder } from '../harness/databases.ts'
import { plan, planInput, planType, replyOf } from '../harness/documents.ts'
import { runJson, runStele } from './run-stele.ts'

interface Document {
  readonly id: string
  readonly status: string
  readonly output: unknown
  readonly number: number
}

async function installed(upstream: Upstream) {
  const place = await sqlitePlace()
  const stele = await place.stele()
  const cwd = await temporaryFolder()
  const file = async (name: string, value: unknown): Promise<string> => {
    await writeFile(join(cwd, name), typeof value === 'string' ? value : JSON.stringify(value))
    return name
  }
  await file('stele.config.json', { providers: { test: { baseUrl: upstream.baseUrl, retries: 0 } } })
  const run = (...args: string[]) => runStele(['documents', ...args], { place, cwd })
  return {
    place,
    stele,
    cwd,
    file,
    run,
    read: <T>(...args: string[]) => runJson<T>(['documents', ...args], { place, cwd }),
  }
}

test('a type is registered from a file, once, and listed', async () => {
  const { file, run, read } = await installed(await startUpstream())
  expect(await run('types')).toMatchObject({ code: 0, stdout: '', stderr: 'No document types.\n' })
  const path = await file('plan.json', planType())
  expect(await run('register', path)).toMatchObject({ code: 0, stderr: 'Registered: plan 1.0\n' })
  expect((await run('register', path)).code).toBe(0)
  const other = await run('register', await file('other.json', planType({ model: 'other' })))
  expect(other.code).toBe(1)
  expect(other.stderr).toContain("Version 1.0 of the document type 'plan' is registered with other content")
  const bad = await run('register', await file('bad.json', planType({ inputSchema: { type: 'objekt' } })))
  expect(bad.stderr).toContain('The document type is not valid: inputSchema')
  expect((await run('register', 'none.json')).stderr).toContain('none.json cannot be read: ENOENT')
  const { stdout } = await run('types')
  expect(stdout).toMatch(/^plan +1\.0 +m +- +- /m)
  expect(stdout).toMatch(/operator:/)
  expect(await read('types')).toMatchObject([{ name: 'plan', prompt: planType().prompt }])
})

test('a document is made from stdin or a file, shown, listed and made again', async () => {
  const upstream = await startUpstream(json(replyOf(plan)))
  const { place, stele, cwd, file, run, read } = await installed(upstream)
  await stele.documents.register(planType())
  const input = JSON.stringify(planInput)
  const made = await runStele(['documents', 'generate', 'plan', '--user', 'ada'], { place, cwd, input })
  expect({ code: made.code, document: JSON.parse(made.stdout) }, made.stderr).toEqual({
    code: 0,
    document: plan,
  })
  const [first] = await read<Document[]>('list', '--user', 'ada')
  expect(made.stderr).toBe(`Made: ${first?.id}\n`)
  expect(first).toMatchObject({ status: 'completed', output: plan, number: 1, requested_by: 'library' })
  const again = await read<Document>('generate', 'plan', '--user', 'ada', '--regenerates', first?.id ?? '')
  expect(again).toMatchObject({ number: 2, previous_id: first?.id, input: planInput })
  const history = await run('history', again.id)
  expect(history.stdout.split('\n')).toHaveLength(4)
  expect(history.stdout).toContain(first?.id)
  const shown = await run('show', again.id)
  expect(shown.stdout).toMatch(/^type +plan 1\.0$/m)
  expect(shown.stdout).toContain('── output ──\n{\n  "title": "A stele for Ada"')
  expect((await run('show', again.id, '--user', 'bob')).code).toBe(1)
  expect((await run('list', '--user', 'ada', '--status', 'none')).code).toBe(2)
  expect((await run('list', '--user', 'bob')).stderr).toBe('No documents.\n')
  expect((await run('list', '--user', 'ada', '--limit', '1')).stderr).toContain(`--before ${again.id}`)

  upstream.answer(json(replyOf({ title: '\u001b[31m' })))
  const path = await file('input.json', planInput)
  const failed = await run('generate', 'plan', '--user', 'ada', '--input', path)
  expect({ code: failed.code, stdout: failed.stdout }).toEqual({ code: 1, stdout: '' })
  expect(failed.stderr).toMatch(/^On record: doc_\w+\nstele: What the model answered is no document/)
  const [invalid] = await read<Document[]>('list', '--user', 'ada', '--status', 'invalid')
  expect((await run('show', invalid?.id ?? '')).stdout).not.toContain('\u001b')
})

test('what the configuration file names is registered before a document is made', async () => {
  const upstream = await startUpstream(json(replyOf(plan)))
  const { file, run } = await installed(upstream)
  const providers = { test: { baseUrl: upstream.baseUrl } }
  await file('stele.config.json', { providers, documentTypes: [planType()] })
  await file('input.json', planInput)
  expect(await run('generate', 'plan', '--user', 'ada', '--input', 'input.json')).toMatchObject({ code: 0 })
  await file('stele.config.json', { providers, documentTypes: [planType({ name: 'no name' })] })
  const { code, stderr } = await run('types')
  expect(code).toBe(1)
  expect(stderr).toContain('documentTypes.0.name')
})
