import type { Stele } from '../../src/stele.ts'
import { begin, settle, user } from './chat.ts'
import { cacheAnswer, callWithAll } from './every-kind.ts'
import { letClocksRun, rollUpAll } from './usage.ts'

/** What a user is called, in the columns that are no content. */
export function factOf(userId: string): string {
  return `facts-of-${userId}`
}

/** What stands in everything that a user says. */
export function secretOf(userId: string): string {
  return `heliotrope-of-${userId}`
}

/** Has a user leave rows in every table that has any of a user, its secret in all of them that hold words. */
export async function liveEverywhere(
  stele: Stele,
  userId: string,
): Promise<{ callId: string; conversationId: string; keySecret: string }> {
  const secret = secretOf(userId)
  const fact = factOf(userId)
  const { callId, conversationId } = await callWithAll(stele, [user(`${secret} asked`)], `${secret} told`, {
    userId,
    claim: { keyHash: `hash-of-${userId}`, requestHash: 'r', expiresAt: Date.now() + 60_000 },
  })
  await stele.users.update(userId, {
    email: `${fact}@example.org`,
    username: fact,
    preferences: { word: secret },
  })
  const about = { title: secret, intent: fact, metadata: { word: secret }, preferences: { word: secret } }
  await stele.conversations.update(userId, conversationId, { ...about, sessionId: `${fact} session` })
  await stele.messages.append({
    userId,
    conversationId,
    messages: [{ message: user(`${secret} appended`), metadata: { word: secret }, intent: fact }],
  })
  await stele.contextSnapshots.create({ userId, conversationId, upToSeq: 0, content: `${secret} in short` })
  const embedding = JSON.stringify({ model: 'm', input: secret })
  await stele.recorder.begin({ userId, provider: 'test', body: embedding, operation: 'embeddings' })
  const failed = await begin(stele, JSON.stringify({ model: 'm', messages: [user(`${secret} again`)] }), {
    userId,
  })
  await settle(stele, failed, {
    status: 'failed',
    httpStatus: 400,
    body: Buffer.from(`data: ${secret}\n\n`.repeat(200)),
    errorCode: 'external',
    errorMessage: `The provider did not like ${secret}`,
  })
  await cacheAnswer(stele, { userId, callId, text: secret })
  const { secret: keySecret } = await stele.apiKeys.create({ userId, name: `the laptop of ${fact}` })
  await stele.retention.set(userId, { contentDays: 3_000 })
  await stele.auditLogger.logEvent({ eventType: 'lunch', userId, details: { word: secret } })
  await stele.search({ userId, query: 'asked', limit: 1 })
  const now = Date.now()
  const { kysely } = stele.database
  await kysely
    .insertInto('user_passwords')
    .values({ user_id: userId, hash: 'a hash', is_temporary: 0, changed_at: now })
    .execute()
  await kysely
    .insertInto('login_sessions')
    .values({
      user_id: userId,
      id: `sess_${userId}`,
      token_hash: `token-of-${userId}`,
      place: 'a place',
      created_at: now,
      last_seen_at: now,
      expires_at: now + 60_000,
      ended_at: null,
    })
    .execute()
  for (const subject of [`user:${userId}`, `known:127.0.0.1:${userId}`])
    await kysely
      .insertInto('login_attempts')
      .values({ subject, failures: 1, last_at: now, blocked_until: 0 })
      .execute()
  await kysely
    .insertInto('break_glass_grants')
    .values({
      user_id: userId,
      id: `grant_${userId}`,
      holder: 'root',
      reason: 'help',
      granted_by: 'root',
      created_at: now,
      expires_at: now + 60_000,
      revoked_at: null,
    })
    .execute()
  // What waits for the search index, beside what is in it.
  await stele.messages.append({ userId, conversationId, messages: [{ message: user(`${secret} waits`) }] })
  // Of the calls one is open: it is noted when the summing passes it.
  await letClocksRun(stele)
  await rollUpAll(stele, 100)
  return { callId, conversationId, keySecret }
}
