import { createHash, createHmac } from 'node:crypto'
import { readCheckpoint } from '../checkpoint.ts'
import { post } from './post.ts'

export interface Webhook {
  readonly url: string
  /** With which deliveries are signed; they are not when it is left out. */
  readonly secret?: string | undefined
}

/**
 * Delivers a checkpoint, signed as https://www.standardwebhooks.com has it. A delivery that is repeated has the same id.
 * @throws Error when it was not taken
 */
export async function deliver(
  { url, secret }: Webhook,
  note: string,
  { signal, now = Date.now() }: { readonly signal?: AbortSignal; readonly now?: number } = {},
): Promise<void> {
  const id = deliveryId(note)
  const timestamp = String(Math.floor(now / 1000))
  const { status } = await post(
    url,
    note,
    {
      'content-type': 'text/plain; charset=utf-8',
      'webhook-id': id,
      'webhook-timestamp': timestamp,
      ...(secret === undefined
        ? {}
        : { 'webhook-signature': signatureOf(secret, { id, timestamp, body: note }) }),
    },
    signal,
  )
  if (status < 200 || status > 299) throw new Error(`the webhook answered ${status}`)
}

/** HMAC-SHA256 of `<id>.<timestamp>.<body>`. */
function signatureOf(
  secret: string,
  { id, timestamp, body }: { id: string; timestamp: string; body: string },
): string {
  const digest = createHmac('sha256', keyOf(secret)).update(`${id}.${timestamp}.${body}`).digest('base64')
  return `v1,${digest}`
}

/** A secret that begins with `whsec_` is in base64; any other is taken as it is. */
function keyOf(secret: string): Buffer {
  const prefix = 'whsec_'
  return secret.startsWith(prefix) ? Buffer.from(secret.slice(prefix.length), 'base64') : Buffer.from(secret)
}

function deliveryId(note: string): string {
  const { origin, size, root } = readCheckpoint(note)
  const digest = createHash('sha256').update(`${origin}\n${size}\n`).update(root).digest('hex')
  return `checkpoint_${digest.slice(0, 32)}`
}
