import { request } from 'undici'

export interface Answer {
  readonly status: number
  readonly contentType: string
  /** At most `mostAnswered` bytes of it. */
  readonly text: string
}

const mostAnswered = 64 * 1024

/** Milliseconds for which an answer is waited for. */
const patience = 10_000

/** Posts a text and reads the answer, which is a redirection as it is: nobody is followed to elsewhere. */
export async function post(
  url: string,
  body: string,
  headers: Readonly<Record<string, string>>,
  signal?: AbortSignal,
): Promise<Answer> {
  const timeout = AbortSignal.timeout(patience)
  const response = await request(url, {
    method: 'POST',
    body,
    headers,
    signal: signal === undefined ? timeout : AbortSignal.any([timeout, signal]),
  })
  const contentType = response.headers['content-type']
  return {
    status: response.statusCode,
    contentType: typeof contentType === 'string' ? contentType : '',
    text: await start(response.body),
  }
}

async function start(body: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = []
  let length = 0
  for await (const part of body) {
    parts.push(part)
    length += part.byteLength
    if (length > mostAnswered) break
  }
  return Buffer.concat(parts).toString('utf8', 0, mostAnswered)
}
