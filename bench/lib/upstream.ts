/**
 * A stand-in for a provider, its own process: `node upstream.ts PORT`. Answers chat completions at once, as JSON or as a
 * stream, with usage; the reply carries the request's own mark (`[#run-n]`), so a reply given to the wrong caller shows.
 */
import { createServer } from 'node:http'
import { replyBody, replyChunks } from './texts.ts'

const port = Number(process.argv[2])
let served = 0

const server = createServer((request, response) => {
  if (request.method === 'GET') {
    response.end('ok')
    return
  }
  const parts: Buffer[] = []
  request.on('data', (part: Buffer) => parts.push(part))
  request.on('end', () => {
    const body = Buffer.concat(parts).toString()
    const mark = /\[#([\w-]+)\]/.exec(body)?.[1] ?? `served-${served}`
    served += 1
    if (/"stream":\s*true/.test(body)) {
      response.writeHead(200, { 'content-type': 'text/event-stream', connection: 'keep-alive' })
      for (const chunk of replyChunks(mark)) response.write(`data: ${chunk}\n\n`)
      response.end('data: [DONE]\n\n')
      return
    }
    const reply = replyBody(mark)
    response.writeHead(200, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(reply),
      connection: 'keep-alive',
    })
    response.end(reply)
  })
})
server.keepAliveTimeout = 120_000
server.listen(port, '127.0.0.1')
