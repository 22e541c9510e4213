import { Readable } from 'node:stream'
import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { type CallVerdict, checkCall } from '../../src/audit/call-contents.ts'
import { verifyAuditExport } from '../../src/audit/verify/export.ts'
import { rotateDataKey } from '../../src/moving/rotate-data-key.ts'
import type { Stele } from '../../src/stele.ts'
import { begin, chatBody, completed, completionBody, exchange, settle, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { callWithAll } from '../harness/every-kind.ts'
import { dropGuards } from '../harness/guards.ts'
import { liveEverywhere } from '../harness/lives.ts'
import { storedRowsOf } from '../harness/rows.ts'

/** What each event of a call says of it now, as `action: verdict`. */
async function verdicts(stele: Stele, callId?: string): Promise<string[]> {
  const events = await storedRowsOf(stele.database, 'audit_events')
  const told: string[] = []
  for (const event of events.filter(
    ({ action, target }) => action.startsWith('call.') && (callId ?? target) === target,
  ))
    told.push(
      `${event.action}: ${kindOf(await checkCall(stele.database, { ...event, commitment: event.commitment }))}`,
    )
  return told.sort()
}

function kindOf(verdict: CallVerdict): string {
  return verdict.kind
}

const bothSame = ['call.begun: same', 'call.settled: same']

export function callContentsSuite(bed: Bed): void {
  test('calls of every kind are what their events commit to, also after their user has another key', async () => {
    const stele = await (await bed.place()).stele()
    await liveEverywhere(stele, 'ada')
    const first = await exchange(stele, [user('one')], 'answer one')
    await exchange(
      stele,
      [user('one'), { role: 'assistant', content: 'answer one' }, user('two')],
      'answer two',
    )
    // As a client writes it that cares for its own spacing: kept whole.
    const odd = await begin(
      stele,
      '{ "messages" : [ {"role":"user","content":"h\\u0069"} ,\n{"role":"user","content":"x"}], "model":"m" }',
    )
    await settle(stele, odd, completed(Buffer.from([0xff, 0x00, 0x7f])))
    const aborted = await begin(stele, chatBody([user('left')]))
    await settle(stele, aborted, { status: 'aborted', errorCode: 'client_left' })
    const all = await verdicts(stele)
    expect(all.length).toBeGreaterThan(12)
    expect(new Set(all)).toEqual(new Set(bothSame))
    await rotateDataKey(stele, 'ada', {})
    await exchange(stele, [user('with the new key')], 'answer')
    expect(new Set(await verdicts(stele))).toEqual(new Set(bothSame))
    expect(await verdicts(stele, first.call.callId)).toEqual(bothSame)
  })

  test.each([
    ['the tokens', 'llm_responses', 'input_tokens = 3', 'call.settled'],
    ['the end', 'llm_responses', "status = 'failed'", 'call.settled'],
    ['the model that answered', 'llm_responses', "response_model = 'another'", 'call.settled'],
    ['the model that was asked', 'llm_requests', "request_model = 'another'", 'call.begun'],
    ['the provider', 'llm_requests', "provider = 'another'", 'call.begun'],
  ] as const)('a call of which %s was changed is told', async (_what, table, change, action) => {
    const stele = await (await bed.place()).stele()
    const { callId } = await callWithAll(stele, [user('question')], 'answer')
    const other = await callWithAll(stele, [user('another question')], 'another answer')
    const id = table === 'llm_requests' ? 'id' : 'request_id'
    await dropGuards(stele.database)
    await sql`UPDATE ${sql.table(table)} SET ${sql.raw(change)} WHERE ${sql.ref(id)} = ${callId}`.execute(
      stele.database.kysely,
    )
    expect(await verdicts(stele, callId)).toEqual(
      bothSame.map(text => (text.startsWith(action) ? `${action}: changed` : text)),
    )
    expect(await verdicts(stele, other.callId)).toEqual(bothSame)
  })

  test('a call whose reply was taken away, or exchanged for that of another call, is told', async () => {
    const stele = await (await bed.place()).stele()
    const { callId } = await callWithAll(stele, [user('question')], 'answer')
    const { callId: other } = await callWithAll(stele, [user('another question')], 'another answer')
    const { kysely } = stele.database
    await dropGuards(stele.database)
    await kysely.deleteFrom('llm_responses').where('request_id', '=', callId).execute()
    expect(await verdicts(stele, callId)).toEqual(['call.begun: same', 'call.settled: changed'])
    await kysely
      .updateTable('llm_responses')
      .set({ request_id: callId })
      .where('request_id', '=', other)
      .execute()
    expect(await verdicts(stele, callId)).toEqual(['call.begun: same', 'call.settled: changed'])
  })

  test('of content that was never kept, or that is erased, nobody can tell, and the commitments stand', async () => {
    const stele = await (await bed.place()).stele()
    const { callId } = await callWithAll(stele, [user('question')], 'answer')
    const unkept = await begin(stele, chatBody([user('secret')], { store: false }))
    await settle(stele, unkept, completed(completionBody('secret too')))
    expect(await verdicts(stele, unkept.callId)).toEqual(['call.begun: none', 'call.settled: same'])
    const before = (await storedRowsOf(stele.database, 'audit_events')).filter(row => row.target === callId)
    await stele.erase('ada')
    expect(await verdicts(stele, callId)).toEqual(['call.begun: gone', 'call.settled: gone'])
    const after = (await storedRowsOf(stele.database, 'audit_events')).filter(row => row.target === callId)
    expect(after).toEqual(before)
    // Whoever comes back has other salts: what was committed to before stays untellable.
    const back = await callWithAll(stele, [user('question')], 'answer')
    expect(await verdicts(stele, back.callId)).toEqual(bothSame)
    expect(await verdicts(stele, callId)).toEqual(['call.begun: gone', 'call.settled: gone'])
  })

  test('verifying compares contents when asked, and an export can carry what opens them', async () => {
    const stele = await (await bed.place()).stele()
    const { callId } = await callWithAll(stele, [user('question')], 'answer')
    await stele.auditLogger.logEvent({ eventType: 'seen', userId: 'ada', details: { what: 'her words' } })
    await stele.auditLog.sequence()
    const all = await stele.audit.verify({ contents: true })
    expect(all).toMatchObject({ verified: true, contents: { same: 3, gone: 0 } })
    expect(await stele.audit.verify()).toMatchObject({ verified: true, contents: undefined })

    const parts: string[] = []
    await stele.audit.export(async lines => void parts.push(lines), { contents: true })
    const text = parts.join('')
    const opened = text.split('\n').filter(line => line.includes('"content":'))
    expect(opened).toHaveLength(3)
    expect(text).toContain('her words')
    expect(text).not.toContain('question')
    const keys = (await stele.auditLog.keys()).map(({ vkey }) => vkey)
    expect(await verifyAuditExport(Readable.from([Buffer.from(text)]), { keys })).toMatchObject({
      verified: true,
    })
    const forged = text.replace('her words', 'his words')
    expect(await verifyAuditExport(Readable.from([Buffer.from(forged)]), { keys })).toMatchObject({
      verified: false,
    })

    await dropGuards(stele.database)
    const { kysely } = stele.database
    const setTokens = (output_tokens: number | null) =>
      kysely.updateTable('llm_responses').set({ output_tokens }).where('request_id', '=', callId).execute()
    const [original] = (await storedRowsOf(stele.database, 'llm_responses')).map(row => row.output_tokens)
    await setTokens(99)
    expect(await stele.audit.verify()).toMatchObject({ verified: true })
    const changed = await stele.audit.verify({ contents: true })
    expect(changed.verified).toBe(false)
    expect(changed.fault?.reason).toContain(callId)

    await setTokens(original ?? null)
    await sql`UPDATE audit_details SET content = ${Buffer.of(4, 1)}`.execute(kysely)
    const emptied = await stele.audit.verify({ contents: true })
    expect(emptied).toMatchObject({ verified: false, fault: { eventId: expect.any(String) } })
    expect(emptied.fault?.reason).not.toContain(callId)

    await stele.erase('ada')
    await stele.auditLog.sequence()
    const erased = await stele.audit.verify({ contents: true })
    expect(erased).toMatchObject({ verified: true, contents: { same: 0, gone: 3 } })
  })
}
