import { expect, test } from 'vitest'
import { storedBody, storedOutcome } from '../../src/gateway/masking/masked-body.ts'
import { type CallStart, type Outcome, unplacedCall } from '../../src/model/call.ts'
import { parseChatRequest } from '../../src/model/chat-request.ts'
import { ConversationHashes } from '../../src/model/hashes.ts'
import { readCompletion } from '../../src/model/reply.ts'
import { Accounting } from '../../src/pricing/accounting.ts'
import { Masker } from '../../src/privacy/masking/masker.ts'
import { callStart } from '../../src/recorder/call-start.ts'
import { Settlements } from '../../src/recorder/settlements.ts'
import { completionBody } from '../harness/chat.ts'

test('what waits to be written holds nothing that is masked, and hashes to what was said', async () => {
  const hashes = new ConversationHashes('key')
  const masker = new Masker({ phoneRegion: 'US', patterns: [] })
  const request = parseChatRequest(
    JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'I am ada@example.com' }] }),
  )
  const input = { userId: 'ada', provider: 'test', callId: undefined }
  const masked = callStart({ ...input, body: await storedBody(request, masker) }, hashes, 'i')
  const open = callStart({ ...input, body: request }, hashes, 'i')
  const text = completionBody('Hello ada@example.com and bob@example.org')
  const reply = readCompletion(JSON.parse(text))
  const outcome = { status: 'completed', body: text, reply } as const
  const settlements = new Settlements(hashes, new Accounting({}))
  const settle = (end: Outcome, start: CallStart) => settlements.of(end, unplacedCall(start))
  const settled = await settle(await storedOutcome(outcome, masker), masked)
  const plain = await settle(outcome, open)

  const waiting = JSON.stringify([masked, settled])
  expect(waiting).not.toMatch(/ada@|bob@|example\./)
  expect(settled.message).toContain('Hello [EMAIL_1] and [EMAIL_2]')
  expect(masked.request.messages.map(one => one.chainHash)).toEqual(
    open.request.messages.map(one => one.chainHash),
  )
  expect(masked.request.promptHash).toBe(open.request.promptHash)
  const last = open.request.messages.at(-1)?.chainHash ?? ''
  expect(settled.messageHash).toBe(hashes.chain(last, plain.canonicalMessage ?? ''))
})
