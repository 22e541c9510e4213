import type { Stele } from '../../src/stele.ts'
import type { Turn } from './conversations.ts'
import type { JournalEntry } from './upstream.ts'

/** Compares the record with what the client and the provider saw. */
export async function verifyRecord(
  stele: Stele,
  userId: string,
  turns: readonly Turn[],
  journal: ReadonlyMap<string, JournalEntry>,
): Promise<{ counts: Record<string, number>; problems: string[] }> {
  const problems: string[] = []
  const counts = {
    'questions asked': new Set(turns.map(turn => turn.questionId)).size,
    'calls made': turns.length,
    'requests reproduced byte for byte': 0,
    'replies reproduced byte for byte': 0,
    'conversations of four messages': 0,
  }
  for (const turn of turns) {
    const call = await stele.calls.get(userId, turn.callId)
    const request = await stele.calls.exactRequest(userId, turn.callId)
    const reply = await stele.calls.exactResponse(userId, turn.callId)
    const upstream = journal.get(call?.providerResponseId ?? '')
    if (request.toString() === turn.sent && upstream?.request === turn.sent)
      counts['requests reproduced byte for byte']++
    else problems.push(`the request of call ${turn.callId} (question ${turn.questionId})`)
    if (reply?.toString() === turn.received && upstream?.reply === turn.received)
      counts['replies reproduced byte for byte']++
    else problems.push(`the reply of call ${turn.callId} (question ${turn.questionId})`)
  }
  for (const [questionId, calls] of Map.groupBy(turns, turn => turn.questionId)) {
    const conversations = new Set(calls.map(call => call.conversationId))
    const [conversationId = ''] = conversations
    const messages = await stele.messages.list({ userId, conversationId })
    const isWhole =
      conversations.size === 1 &&
      messages.map(message => message.role).join() === 'user,assistant,user,assistant'
    if (isWhole) counts['conversations of four messages']++
    else
      problems.push(
        `question ${questionId}: ${conversations.size} conversations, ${messages.length} messages`,
      )
  }
  const recorded = await stele.calls.list({ userId, limit: turns.length + 1 })
  if (recorded.length !== turns.length)
    problems.push(`${recorded.length} calls are recorded, ${turns.length} were made`)
  return { counts, problems }
}
