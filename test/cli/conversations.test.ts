import { expect, test } from 'vitest'
import { assistant, exchange, user } from '../harness/chat.ts'
import { describeEachDatabase } from '../harness/databases.ts'
import { runJson, runStele } from './run-stele.ts'

describeEachDatabase('stele conversations', bed => {
  test('list and show tell of messages and forks', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const first = await exchange(stele, [user('one')], 'two')
    const original = first.settled.conversationId
    await exchange(stele, [user('one'), assistant('two'), user('three')], 'four')
    const other = await exchange(stele, [user('one'), assistant('two'), user('instead')], 'five')
    const fork = other.settled.conversationId
    expect(fork).not.toBe(original)

    const table = await runStele(['conversations', 'list'], { place })
    expect(table.stdout).toMatch(/^ID +USER +MESSAGES +UPDATED +FORKED FROM +TITLE\n/)
    expect(table.stdout).toMatch(new RegExp(`^${fork}  ada +4  \\S+Z  ${original} +one$`, 'm'))
    expect(table.stdout).toMatch(new RegExp(`^${original}  ada +4  \\S+Z  - +one$`, 'm'))

    const shown = await runStele(['conversations', 'show', fork], { place })
    expect(shown).toMatchObject({ code: 0, stderr: '' })
    expect(shown.stdout).toContain(`${original} (messages 0 to 1 are shared)`)
    expect(shown.stdout).toMatch(/── 0 user .* · shared ──\none\n/)
    expect(shown.stdout).toMatch(/── 2 user [^\n]*──\ninstead\n/)
    expect(shown.stdout).toMatch(new RegExp(`── 3 assistant [^\\n]*${other.call.callId} ──\\nfive\\n`))
    expect((await runStele(['conversations', 'show', original], { place })).stdout).toMatch(
      new RegExp(`^fork +${fork} \\(messages 0 to 1 are shared\\)$`, 'm'),
    )

    expect(await runJson(['conversations', 'show', original, '--user', 'ada'], { place })).toMatchObject({
      id: original,
      user_id: 'ada',
      parent_id: null,
      next_seq: 4,
      forks: [{ id: fork, parent_seq: 1 }],
      messages: [
        { seq: 0, role: 'user', message: { role: 'user', content: 'one' } },
        { seq: 1, message: { content: 'two' } },
        { seq: 2, message: { content: 'three' } },
        { seq: 3, role: 'assistant', message: { content: 'four' } },
      ],
    })
    const newest = await runStele(['conversations', 'show', fork, '--limit', '1'], { place })
    expect(newest.stdout).not.toContain('instead')
    expect(newest.stderr).toBe('3 earlier messages are not shown; raise --limit.\n')
  })

  test('list pages and filters; unknown ones are told', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const ids: string[] = []
    for (const userId of ['ada', 'bob', 'ada'])
      ids.push(
        (await exchange(stele, [user(`of ${userId} ${ids.length}`)], 'x', { userId })).settled.conversationId,
      )
    const mine = await runJson<{ id: string }[]>(['conversations', 'list', '--user', 'ada'], { place })
    expect(mine.map(({ id }) => id)).toEqual([ids[2], ids[0]])
    const page = await runStele(['conversations', 'list', '--limit', '1'], { place })
    expect(page.stderr).toBe(`There may be more: --before ${ids[2]}\n`)
    const rest = await runJson<{ id: string }[]>(['conversations', 'list', '--before', ids[2] ?? ''], {
      place,
    })
    expect(rest.map(({ id }) => id)).toEqual([ids[1], ids[0]])
    expect(await runStele(['conversations', 'show', ids[1] ?? '', '--user', 'ada'], { place })).toMatchObject(
      {
        code: 1,
        stdout: '',
        stderr: `stele: There is no conversation '${ids[1]}' of 'ada'.\n`,
      },
    )
  })
})
