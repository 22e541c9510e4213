/**
 * The least a gateway in this stack can do, its own process: `node bare-proxy.ts PORT UPSTREAM`. Fastify parses the JSON,
 * undici forwards it, the reply's bytes go back. No key, no record.
 */
import fastify from 'fastify'
import { Pool } from 'undici'

const [port, upstream] = [Number(process.argv[2]), process.argv[3] ?? '']
const pool = new Pool(upstream, { connections: 64 })
const app = fastify({ logger: false })

app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => {
  try {
    done(null, { bytes: body, json: JSON.parse(body.toString()) as unknown })
  } catch (error) {
    done(error as Error)
  }
})
app.get('/healthz', async () => 'ok')
app.post<{ Body: { bytes: Buffer } }>('/v1/chat/completions', async (request, reply) => {
  const answer = await pool.request({
    path: '/v1/chat/completions',
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: 'Bearer x' },
    body: request.body.bytes,
  })
  const bytes = Buffer.from(await answer.body.arrayBuffer())
  return reply
    .code(answer.statusCode)
    .header('content-type', answer.headers['content-type'] ?? 'application/json')
    .send(bytes)
})

await app.listen({ port, host: '127.0.0.1' })
