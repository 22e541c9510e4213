import { expect, test } from 'vitest'
import { describeEachDatabase } from '../harness/databases.ts'
import { startStele } from './run-stele.ts'

describeEachDatabase('stele audit tail', bed => {
  test('tells each new event once, whether or not it is in the log yet, and of those that are asked for alone', async () => {
    const place = await bed.place()
    const stele = await place.stele({ audit: { sequence: false } })
    await stele.auditLogger.logEvent({ eventType: 'before', userId: 'ada' })
    const running = await startStele(['audit', 'tail', '--json', '--category', 'security'], { place })
    expect(await running.nextWord()).toContain('Waiting')
    const told = async (): Promise<unknown> =>
      (JSON.parse(await running.nextLine()) as { action: unknown }).action
    await stele.auditLogger.logEvent({ eventType: 'lunch', category: 'general' })
    await stele.auditLogger.logEvent({ eventType: 'one', category: 'security' })
    expect(await told()).toBe('app.one')
    await stele.auditLog.sequence()
    await stele.auditLogger.logEvent({ eventType: 'two', category: 'security' })
    await stele.auditLogger.logEvent({ eventType: 'three', category: 'security' })
    expect([await told(), await told()]).toEqual(['app.two', 'app.three'])
    expect(await running.stop('SIGINT')).toBe(0)
  })
})
