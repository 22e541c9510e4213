import { expect, test } from 'vitest'
import { compressed, sentRecord } from '../../src/compression/sent.ts'
import { begin, chatBody, completed, completionBody, exchange, settle, user } from '../harness/chat.ts'
import { describeEachDatabase } from '../harness/databases.ts'
import { runJson, runStele } from './run-stele.ts'

const said = 'Could you please tell me the end of the story?'

describeEachDatabase('stele calls show --sent', bed => {
  test('prints exactly the bytes that a provider got, and says when there are no others than the request', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const body = chatBody([user(said)])
    const made = await compressed(body, 'medium')
    const sending = { level: 'medium', model: 'test-model', asksUsage: false, isChat: true } as const
    const sent = sentRecord({ told: body, recorded: body, mayKeep: true, body: made }, sending)
    const call = await begin(stele, body, { sent })
    await settle(stele, call, completed(completionBody('It ends well.')))
    const shown = await runStele(['calls', 'show', call.callId, '--sent'], { place })
    expect(shown).toMatchObject({ code: 0, stdout: made })
    expect(made).toContain('"Tell me the end of the story?"')
    const request = await runStele(['calls', 'show', call.callId, '--request'], { place })
    expect(request.stdout).toBe(body)
    const { stdout } = await runStele(['calls', 'show', call.callId], { place })
    expect(stdout).toMatch(/^compression +medium\/2$/m)
    expect(stdout).toContain(said)
    const plain = await exchange(stele, [user('plain')], 'plain too')
    const refused = await runStele(['calls', 'show', plain.call.callId, '--sent'], { place })
    expect(refused).toMatchObject({ code: 1, stdout: '' })
    expect(refused.stderr).toContain('were not compressed')
  })

  test('a key says how prompts are compressed', async () => {
    const place = await bed.place()
    await place.stele()
    const made = await runJson(['keys', 'create', '--user', 'ada', '--compress', 'gzip'], { place })
    expect(made).toMatchObject({ compression: 'gzip' })
    const { stdout } = await runStele(['keys', 'list'], { place })
    expect(stdout).toMatch(/COMPRESSES/)
    expect(stdout).toMatch(/gzip/)
    const refused = await runStele(['keys', 'create', '--user', 'ada', '--compress', 'zip'], { place })
    expect(refused.code).toBe(2)
  })
})
