import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { statSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import OpenAI from 'openai'
import { expect, onTestFinished, test } from 'vitest'
import { completion } from '../harness/chat.ts'
import { describeEachDatabase, sqlitePlace, temporaryFolder } from '../harness/databases.ts'
import { serveProcess } from './serve-process.ts'
import { eventStream, json, silence, startUpstream } from './upstream.ts'
import { chunk, done, openAiError, questionOf } from './wire.ts'

const adminKey = 'sk-test-0123456789abcdef-sekret'

const clientOf = (address: string, apiKey = adminKey): OpenAI =>
  new OpenAI({ apiKey, baseURL: `${address}/v1`, maxRetries: 0, timeout: 15_000 })

test('a first start in an empty folder prints a request that works as printed, offline', async () => {
  const cwd = await temporaryFolder()
  const gateway = await serveProcess({ cwd, isSource: true })
  await gateway.address
  expect(gateway.stdout()).toMatch(/^ {2}data +\.\/\.stele\/stele\.db$|^ {2}data +\S*stele\.db$/m)
  expect(statSync(join(cwd, '.stele/stele.db')).mode & 0o777).toBe(0o600)
  expect(statSync(join(cwd, '.stele/master.key')).mode & 0o777).toBe(0o600)
  const command = /^ {2}(curl [\s\S]+?'\{.*\}')$/m.exec(gateway.stdout())?.[1]
  const said = execFileSync('sh', ['-c', `${command} --silent --max-time 10`], { encoding: 'utf8' })
  expect(JSON.parse(said)).toMatchObject({
    object: 'chat.completion',
    choices: [{ message: { content: 'Hello, Stele!' } }],
  })
  const key = /sk-stele-\S+/.exec(gateway.stdout())?.[0] ?? ''
  gateway.kill('SIGINT')
  expect(await gateway.ended).toEqual({ code: 0, signal: null })

  const second = await serveProcess({ cwd, isSource: true })
  const address = await second.address
  expect(second.stdout()).not.toContain('sk-stele-')
  expect(second.stdout()).toContain('keys create')
  const answer = await clientOf(address, key).chat.completions.create({
    model: 'echo',
    messages: [{ role: 'user', content: 'Still here?' }],
  })
  expect(answer.choices[0]?.message.content).toBe('Still here?')
  expect(gateway.stderr() + second.stderr()).not.toContain(key)
})

describeEachDatabase('a gateway process', bed => {
  test('at SIGTERM lets a running reply end, settles everything and exits with 0', async () => {
    const ending = Promise.withResolvers<void>()
    const upstream = await startUpstream(async reply => {
      reply.head(200, eventStream)
      await reply.write(chunk({ role: 'assistant', content: 'once ' }))
      await ending.promise
      reply.end(chunk({ content: 'upon' }, { finish: 'stop' }) + done)
    }, silence)
    const place = await bed.place()
    const gateway = await serveProcess({
      place,
      env: { OPENAI_BASE_URL: upstream.baseUrl, STELE_API_KEY: adminKey, STELE_SHUTDOWN_TIMEOUT: '1' },
    })
    const client = clientOf(await gateway.address)
    const stream = client.chat.completions.stream({ ...questionOf('first'), stream: true })
    await stream.emitted('chunk')
    const endless = client.chat.completions.create(questionOf('second')).catch((error: unknown) => error)
    await upstream.received(1)
    gateway.kill('SIGTERM')
    await expect
      .poll(() =>
        fetch(`${client.baseURL}/models`).then(
          ({ status }) => status,
          () => 'refused',
        ),
      )
      .toMatch(/503|refused/)
    ending.resolve()
    expect((await stream.finalChatCompletion()).choices[0]?.message.content).toBe('once upon')
    expect(await endless).toMatchObject({ status: 503, code: 'shutting_down' })
    expect(await gateway.ended).toEqual({ code: 0, signal: null })
    const stele = await place.stele()
    expect((await stele.calls.list()).map(({ status }) => status).sort()).toEqual(['aborted', 'completed'])
    expect(await stele.recorder.start()).toBe(0)
  })

  test('never logs or prints keys or what was said', async () => {
    const upstream = await startUpstream(
      json(completion('reply-sekret')),
      json(openAiError('provider-sekret'), { status: 500 }),
      reply => reply.reset(),
      async reply => {
        reply.head(200, eventStream)
        await reply.write(chunk({ role: 'assistant', content: 'stream-sekret' }))
        reply.end('data: broken-sekret\n\n')
      },
    )
    const place = await bed.place()
    const gateway = await serveProcess({
      place,
      env: {
        OPENAI_BASE_URL: upstream.baseUrl,
        OPENAI_API_KEY: 'sk-upstream-sekret',
        STELE_API_KEY: adminKey,
        LOG_LEVEL: 'trace',
        SQL_ECHO: 'true',
      },
    })
    const address = await gateway.address
    const client = clientOf(address)
    for (let round = 0; round < 3; round++)
      await client.chat.completions.create(questionOf('question-sekret')).catch(() => undefined)
    await client.chat.completions
      .stream({ ...questionOf('question-sekret'), stream: true })
      .finalMessage()
      .catch(() => undefined)
    await clientOf(address, 'sk-wrong-sekret')
      .models.list()
      .catch(() => undefined)
    await fetch(`${address}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${adminKey}`, 'content-type': 'application/json' },
      body: '{"model":"m","messages":[{"role":"user","content":"broken-sekret"}',
    })
    gateway.kill('SIGTERM')
    expect(await gateway.ended).toEqual({ code: 0, signal: null })
    const said = gateway.stdout() + gateway.stderr()
    expect(said).toContain('provider_error')
    expect(said).not.toContain('sekret')
    expect(said).not.toContain(place.masterKey)
  })
})

test('a port that is taken is one clear line and exit code 1', async () => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  onTestFinished(() => void other.close())
  const { port } = other.address() as AddressInfo
  const gateway = await serveProcess({ place: await sqlitePlace(), env: { PORT: String(port) } })
  expect(await gateway.ended).toEqual({ code: 1, signal: null })
  expect(gateway.stderr()).toBe(
    `stele: Cannot listen on 127.0.0.1:${port}: the port is taken; choose another with PORT or --port\n`,
  )
  expect(gateway.stdout()).toBe('')
})

test.each([
  [
    'a setting that is none',
    { STELE_CONFIG: 'stele.config.json' },
    '{"sekret":1}',
    /sekret: is not a setting/,
  ],
  ['a file that is no JSON', {}, '{sekret', /stele\.config\.json: must be a JSON object/],
  ['a port that is none', { PORT: 'sekret' }, '{}', /port \(PORT\)/],
  [
    'an upstream that is no address',
    { OPENAI_BASE_URL: 'sekret' },
    '{}',
    /openaiBaseUrl \(OPENAI_BASE_URL\)/,
  ],
  [
    'a provider without its key',
    {},
    '{"providers":{"x":{"baseUrl":"http://x/v1","apiKeyEnv":"X_KEY"}}}',
    /X_KEY is not set/,
  ],
])('%s is told without its value, and nothing is served', async (name, env, file, message) => {
  const cwd = await temporaryFolder()
  writeFileSync(join(cwd, 'stele.config.json'), file)
  const gateway = await serveProcess({ cwd, env })
  expect(await gateway.ended).toEqual({ code: 1, signal: null })
  expect(gateway.stdout()).toBe('')
  expect(gateway.stderr()).toMatch(message)
  if (!name.includes('setting')) expect(gateway.stderr()).not.toContain('sekret')
  expect(gateway.stderr()).not.toMatch(/\n\s+at /)
})
