import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { setTimeout as pauseFor } from 'node:timers/promises'
import { MessagePort } from 'node:worker_threads'
import { DefaultQueryExecutor } from 'kysely'

/**
 * Preloaded by the processes of `npm test -- --mode delays` that run tests, and by their threads: what the system does in its
 * own time (queries, files, messages between threads) is sometimes answered late, as it is on a machine that does many
 * things at once. A test or a line of the program that counts on who is first then fails here, and not once in a hundred
 * runs.
 */
const share = 0.05
const longest = 60

type Method = (this: unknown, ...given: unknown[]) => unknown

async function late(): Promise<void> {
  if (Math.random() < share) await pauseFor(Math.random() * longest)
}

/** Answers late. What fails does so late too. */
function delayed(holder: object, name: string): void {
  const methods = holder as Record<string, Method>
  const original = methods[name] as Method
  methods[name] = function (...given) {
    const answer = original.apply(this, given) as Promise<unknown>
    return answer.finally(late)
  }
}

delayed(Object.getPrototypeOf(DefaultQueryExecutor.prototype) as object, 'executeQuery')
for (const name of ['open', 'readFile', 'readdir', 'rename', 'rm', 'stat', 'unlink', 'writeFile'])
  delayed(fs.promises, name)
syncBuiltinESMExports()

/** The messages of a port stay in order: what is posted while one waits, waits behind it. */
const waiting = new WeakMap<object, Promise<void>>()
const post = MessagePort.prototype.postMessage as Method
MessagePort.prototype.postMessage = function (this: MessagePort, ...given: unknown[]): void {
  const before = waiting.get(this)
  const isPlain = given.length === 1
  if (before === undefined && (!isPlain || Math.random() >= share)) {
    post.apply(this, given)
    return
  }
  // As it is now: whoever posted it may change it.
  const message = isPlain ? [structuredClone(given[0])] : given
  const turn = (before ?? pauseFor(Math.random() * longest)).then(() => void post.apply(this, message))
  waiting.set(this, turn)
  void turn.then(() => {
    if (waiting.get(this) === turn) waiting.delete(this)
  })
}
