import { describe, expect, test } from 'vitest'
import { startGateway } from '../gateway/running.ts'
import { startUpstream } from '../gateway/upstream.ts'
import { historyOf } from '../harness/chat.ts'
import { postgresPlace, sqlitePlace } from '../harness/databases.ts'
import { linkToPostgres } from '../harness/postgres-link.ts'
import { rowsOf } from '../harness/rows.ts'
import { saying } from './backends.ts'
import { arrowUp, controlC, controlD, controlZ, paste, stepwise, talk, unending } from './talk.ts'
import { noTerminal, startTerminal } from './terminal.ts'

const isWindows = process.platform === 'win32'

describe.skipIf(noTerminal !== undefined)(`the screen of a chat${noTerminal ?? ''}`, () => {
  test('a message of several lines is one: with backslashes, fences, and pasted', async () => {
    const { terminal, place } = await talk([saying('ok')])
    await terminal.sees('›')
    terminal.type('one\\\rtwo\r')
    await terminal.sees(/› one\n {2}two\n\nok/)
    terminal.type('"""\rthree\r\rfour\r"""\r')
    await terminal.sees(/"""\n {2}three\n\n {2}four\n {2}"""\n\nok/)
    terminal.type(`${paste('five\r\nsix\tseven\nexit')}\r`)
    await terminal.sees(/› five\n {2}six {4}seven\n {2}exit\n\nok/)
    terminal.type(`${arrowUp}${arrowUp}${arrowUp}\u0005\u007f漢字\r`)
    await terminal.sees(/exit\n\nok[\s\S]*› /)
    terminal.type(controlD)
    await terminal.ended()
    const stele = await place.stele()
    const [conversation] = await stele.conversations.list()
    const asked = (await historyOf(stele, conversation?.id ?? '')).filter(({ role }) => role === 'user')
    expect(asked.slice(0, 3).map(({ content }) => content)).toEqual([
      'one\ntwo',
      'three\n\nfour',
      'five\nsix\tseven\nexit',
    ])
  })

  test('wide characters and a window that becomes narrow while a reply comes', async () => {
    const { answer, send, end } = stepwise()
    const { terminal } = await talk([answer], { columns: 60, rows: 20 })
    await terminal.sees('›')
    const text = '漢字かな交じり文を書いて、👍も付ける。'
    terminal.enter(text)
    const long =
      'It goes on for quite a while, so that it takes two lines and a half even of a wide window, and then'
    send(`${text.repeat(2)}\n\nThe next paragraph has some words in it. ${long}`)
    await terminal.sees('and then')
    terminal.resize(34, 20)
    send(' and these come after')
    await terminal.sees('after')
    end()
    await terminal.sees(/gpt-test-2026 · /)
    const shown = terminal.lines().join('\n')
    expect(shown.slice(shown.indexOf('The next'), shown.indexOf('\n\ngpt-test-2026')).split('\n')).toEqual([
      'The next paragraph has some words',
      'in it. It goes on for quite a',
      'while, so that it takes two lines',
      'and a half even of a wide window,',
      'and then and these come after',
    ])
    expect(shown.split('The next paragraph')).toHaveLength(2)
    terminal.enter(`${text}${text}`)
    await terminal.sees(/›[^›]*›/)
    expect(terminal.lines().every(line => line.length <= 34)).toBe(true)
  })

  test('what a model says is shown, not obeyed; with NO_COLOR nothing has a look', async () => {
    const evil = 'red \u001b[31mtext\u0007 \u001b]0;title\u0007 \u202eback &#27;[2J'
    const { terminal } = await talk([saying(evil, '\n\n**bold**')], { env: { NO_COLOR: '1' } })
    await terminal.sees('›')
    terminal.enter('Hello')
    await terminal.sees('red \\x1b[31mtext\\x07 \\x1b]0;title\\x07 \\u202eback \\x1b[2J')
    await terminal.sees('bold')
    terminal.type(`${paste('/nothing\u009b31m')}\r`)
    await terminal.sees('There is no command /nothing\\x9b31m.')
    const sequences = terminal.written().split('\u001b').slice(1)
    expect(sequences.filter(sequence => /^\[[\d;]*m|^\]|^\[2J/.test(sequence))).toEqual([])
    expect(terminal.written()).not.toContain('\u009b')
  })

  test('a long reply leaves the screen at its top whole, line by line', async () => {
    const { answer, send, end } = stepwise()
    const { terminal } = await talk([answer], { rows: 8 })
    await terminal.sees('›')
    terminal.enter('Count')
    const words = Array.from({ length: 40 }, (_, index) => `line ${index}`)
    for (const word of words) send(`${word}\n`)
    await terminal.sees('line 39')
    // A table whose columns become wider is drawn again, as far as it is in reach.
    const rows = Array.from({ length: 20 }, (_, index) => `row ${index}`)
    send(`\n|a|b|\n|-|-|\n${rows.map(row => `| ${row} | x |\n`).join('')}`)
    await terminal.sees('row 19')
    send('| the last row | is wide |\n')
    await terminal.sees('the last row')
    end()
    await terminal.sees(/gpt-test-2026 · /)
    const shown = terminal.lines().map(line => line.split(' │')[0]?.trimEnd() ?? '')
    expect(shown.filter(line => /^(line|row) /.test(line))).toEqual([...words, ...rows])
  })

  test.skipIf(isWindows)('Ctrl-Z leaves for the shell, and what was under way goes on after', async () => {
    const { terminal: shell } = await talk([unending], { inShell: true })
    await shell.sees('›')
    shell.type(`half${controlZ}`)
    await shell.sees(/stopped|suspended/i)
    shell.enter('echo in the shell')
    await shell.sees(/\nin the shell\n/)
    shell.enter('fg')
    await shell.sees(/in the shell[\s\S]*› half/)
    shell.enter(' a story')
    await shell.sees(/› half a story\s+Once upon a time/)
    shell.type(controlZ)
    await shell.sees(/Once upon a time[\s\S]*(stopped|suspended)/i)
    shell.enter('fg')
    await shell.sees(/fg[\s\S]*fg[\s\S]*Once upon a time/)
    shell.type(controlC)
    await shell.sees('stopped; what came is kept')
    shell.type(controlD)
    await shell.sees(/kept[\s\S]*\n\$$/)
  })

  test('Ctrl-C ends a paste without an end, and gives up what a command waits for', async () => {
    const upstream = await startUpstream()
    // A provider that never says which models it has.
    upstream.models = async () => undefined
    const env = { OPENAI_BASE_URL: upstream.baseUrl }
    const terminal = await startTerminal(['chat', '--new', '--model', 'gpt-test'], {
      place: await sqlitePlace(),
      env,
    })
    await terminal.sees('›')
    terminal.type('\u001b[200~pasted')
    terminal.type(controlC)
    terminal.enter('/model')
    await terminal.sees('› /model')
    terminal.type(controlC)
    await terminal.sees('Given up.')
    terminal.enter('/help')
    await terminal.sees(/conversation\n {26}stays on record and goes on\n/)
    terminal.type(controlD)
    expect(await terminal.ended()).toMatchObject({ exitCode: 0 })
  })

  test('a signal to end is obeyed once the reply is settled', async () => {
    const { terminal, place } = await talk([unending])
    await terminal.sees('›')
    terminal.enter('A story')
    await terminal.sees('Once upon a time')
    terminal.kill('SIGTERM')
    expect(await terminal.ended()).toMatchObject({ signal: 15 })
    const stele = await place.stele()
    expect((await stele.calls.list()).map(({ status }) => status)).toEqual(['aborted'])
    expect(await rowsOf(stele, 'instances')).toEqual([])
  })

  test('over a gateway, which goes away midway: told, and the program stays', async () => {
    const { answer, send } = stepwise()
    const upstream = await startUpstream(answer)
    const running = await startGateway({ upstream })
    const terminal = await startTerminal(['chat', '--gateway', running.address, '--model', 'gpt-test'], {
      env: { STELE_API_KEY: running.key },
    })
    await terminal.sees(`stele chat · gpt-test · ${running.address}`)
    terminal.enter('Hello')
    send('Half a re')
    await terminal.sees('Half a re')
    await Promise.all([running.gateway.app.server.closeAllConnections(), running.gateway.app.server.close()])
    await terminal.sees('could not be reached')
    terminal.enter('Still there?')
    await terminal.sees(/Still there\?[\s\S]*could not be reached: ECONNREFUSED/)
    terminal.enter('exit')
    expect(await terminal.ended()).toMatchObject({ exitCode: 0 })
  })

  test('a PostgreSQL that goes away and comes back is told, and the chat goes on', async () => {
    const link = await linkToPostgres()
    const place = { ...(await postgresPlace()), databaseUrl: link.databaseUrl }
    const env = { DB_COMMIT_TIMEOUT: '1', DB_POOL_TIMEOUT: '2' }
    const terminal = await startTerminal(['chat', '--new'], { place, env })
    await terminal.sees('›')
    terminal.enter('before')
    await terminal.sees(/› before\n\nbefore/)
    link.cut()
    terminal.enter('meanwhile')
    await terminal.sees(/The database is away[\s\S]*\nmeanwhile\n\necho · /)
    link.restore()
    await terminal.sees('The database is back')
    terminal.enter('after')
    await terminal.sees(/› after\n\nafter\n\necho · /)
  })

  test('a question that was typed while a reply came is the next one', async () => {
    const { answer, send, end } = stepwise()
    const { terminal, upstream } = await talk([answer, saying('second')])
    await terminal.sees('›')
    terminal.enter('one')
    send('first')
    await terminal.sees('first')
    terminal.enter('two')
    end()
    await terminal.sees(/› two\n\nsecond/)
    expect(upstream.journal).toHaveLength(2)
  })
})
