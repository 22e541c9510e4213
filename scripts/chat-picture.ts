import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { spawn } from '@lydell/node-pty'
import xterm from '@xterm/headless'
import { screenSvg } from './chat-picture/screen-svg.ts'

/**
 * Holds a chat in a real pseudo-terminal, with a provider that says what is written here, and writes what a person would
 * see to docs/chat.svg.
 */

const columns = 96
const rows = 60
const patience = 20_000

const first = `## What Stele keeps

Every call becomes **one transaction**: the *request*, the reply, its tokens and its cost.

| table           | one row for each     | grows with |
|-----------------|----------------------|-----------:|
| \`messages\`      | thing that was said  |      words |
| \`llm_requests\`  | question to a model  |      calls |
| \`llm_responses\` | answer, or its error |      calls |

\`\`\`sql
SELECT status, count(*) FROM llm_responses GROUP BY status
\`\`\`

1. The intent is committed, **then** the provider is asked.
2. The reply is settled, **then** it counts as complete.`

const said: Readonly<Record<string, string>> = {
  large: first,
  small: 'A **stele** is an upright stone slab, carved with words that are meant to *last*.',
  careful:
    'An upright stone with an inscription.\n\n- set up in public\n- hard to change afterwards\n\nHence the name.',
}

const main = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url))
const picture = fileURLToPath(new URL('../docs/chat.svg', import.meta.url))

const folder = await mkdtemp(join(tmpdir(), 'stele-picture-'))
const provider = await startProvider()
try {
  await record()
} finally {
  provider.close()
  provider.closeAllConnections()
  await rm(folder, { recursive: true, force: true })
}

async function record(): Promise<void> {
  const { port } = provider.address() as AddressInfo
  const baseUrl = `http://127.0.0.1:${port}/v1`
  const providers = { lab: { baseUrl, models: Object.keys(said) } }
  await writeFile(join(folder, 'stele.config.json'), JSON.stringify({ providers }))
  const terminal = new xterm.Terminal({ cols: columns, rows, allowProposedApi: true })
  const pty = spawn(process.execPath, [main, 'chat', '--new'], {
    name: 'xterm-256color',
    cols: columns,
    rows,
    cwd: folder,
    env: { PATH: process.env['PATH'], HOME: folder, TERM: 'xterm-256color' },
  })
  let shown = Promise.resolve()
  pty.onData(text => {
    // How long something took is another thing every time.
    const steady = text.replace(/\d+\.\d s/g, '0.4 s')
    shown = new Promise(resolve => terminal.write(steady, resolve))
  })
  const lines = (): string[] =>
    Array.from(
      { length: rows },
      (_, row) => terminal.buffer.active.getLine(row)?.translateToString(true).trimEnd() ?? '',
    )
  const sees = async (text: string): Promise<void> => {
    for (const deadline = performance.now() + patience; ; ) {
      await shown
      if (lines().join('\n').includes(text)) return
      if (performance.now() > deadline) throw new Error(`not to be seen: ${text}\n${lines().join('\n')}`)
      await new Promise(resolve => setTimeout(resolve, 20))
    }
  }
  try {
    await sees('›')
    pty.write('What does Stele keep of a call?\r')
    await sees('large · ')
    pty.write('/compare small careful\r')
    await sees('The next question goes to')
    pty.write('What is a stele?\r')
    await sees('Take 1, 2?')
    pty.write('2\r')
    await sees('was taken.')
    await sees('› ')
    const height = lines().findLastIndex(line => line !== '') + 1
    await writeFile(picture, screenSvg(terminal, height, 'stele chat in a terminal'))
  } finally {
    pty.kill()
  }
}

/** Answers with what is written here, word by word. */
async function startProvider(): Promise<Server> {
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const { model } = JSON.parse(Buffer.concat(chunks).toString('utf8')) as { model: string }
    const words = said[model]?.match(/\s*\S+/g) ?? []
    const event = (value: object): string =>
      `data: ${JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', model, ...value })}\n\n`
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    for (const content of words)
      response.write(event({ choices: [{ index: 0, delta: { content }, finish_reason: null }] }))
    response.write(event({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }))
    const usage = { prompt_tokens: 12, completion_tokens: words.length }
    response.end(`${event({ choices: [], usage })}data: [DONE]\n\n`)
  })
  server.listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  return server
}
