import { expect, test } from 'vitest'
import { describeEachDatabase } from '../harness/databases.ts'
import { runStele } from './run-stele.ts'

describeEachDatabase('stele audit list, show and stats', bed => {
  test('they tell what happened; what was said of a user is shown when asked for, and that is on record', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    await stele.users.create('ada')
    const said = { eventType: 'blocked_content', userId: 'ada', details: { word: 'marigold\u001b[2J' } }
    const { id } = await stele.auditLogger.logEvent({ ...said, target: 'esc\u001b[2J' })
    const run = async (...args: string[]) => {
      const { code, stdout } = await runStele(['audit', ...args], { place })
      expect(code, args.join(' ')).toBe(0)
      expect(stdout).not.toContain('\u001b')
      return stdout
    }
    await stele.auditLog.sequence()
    const list = await run('list', '--user', 'ada')
    expect(list).toMatch(/^TIME +ID +LOG +ACTION/)
    expect(list).toMatch(/app\.blocked_content[\s\S]*user\.created/)
    expect(list).not.toContain('marigold')
    expect(JSON.parse(await run('list', '--type', 'blocked_content', '--json'))).toMatchObject([
      { id, user_id: 'ada', content: 'kept', details: null, log_index: expect.any(Number) },
    ])
    expect(await run('list', '--severity', 'critical')).toBe('')
    const shown = await run('show', id)
    expect(shown).not.toContain('marigold')
    expect(shown).toMatch(/^log +entry \d+$/m)
    expect((await stele.auditEvents.list({ action: 'content.read' })).length).toBe(0)
    expect(await run('show', id, '--content')).toContain('marigold')
    const [read] = await stele.auditEvents.list({ action: 'content.read' })
    expect(read).toMatchObject({ userId: 'ada', target: id, details: { command: 'audit show' } })
    expect(await run('stats')).toMatch(/app\.blocked_content +security +info +1 +0/)
    expect((await runStele(['audit', 'show', 'evt_01h455vb4pex5vsknk084sn02q'], { place })).code).toBe(1)
    expect((await runStele(['audit', 'list', '--type', 'a', '--action', 'b'], { place })).code).not.toBe(0)
  })
})
