import { argon2, randomBytes, timingSafeEqual } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { promisify } from 'node:util'
import { SteleError } from '../errors.ts'

/**
 * Passwords are kept as argon2id hashes in PHC's form: `$argon2id$v=19$m=…,t=…,p=…$salt$hash`. The work is done by Node's
 * threads, beside the event loop.
 */

interface HashCost {
  /** KiB. */
  readonly memory: number
  readonly passes: number
  readonly parallelism: number
}

/** What OWASP's Password Storage Cheat Sheet asks for. */
const parameters: HashCost = { memory: 19_456, passes: 2, parallelism: 1 }
const saltBytes = 16
const hashBytes = 32

/** Hashes made at once: the same threads read files and resolve names, and a core is left to whoever is served meanwhile. */
const atOnce = availableParallelism() > 2 ? 2 : 1

/** Logins that may wait for their turn; each takes some 30 ms. */
const mostWaiting = 100

const derive = promisify(argon2)

const shape = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([\w+/]+)\$([\w+/]+)$/

export interface PasswordHasher {
  /**
   * Keeps a place for a password that is compared in `work`, so that whoever is sent away is so before anything else is done.
   * @throws SteleError login_busy
   */
  withPlace<T>(work: () => Promise<T>): Promise<T>
  /** @throws SteleError login_busy */
  hash(password: string): Promise<string>
  /**
   * Whether it is the password of this hash. Without a hash it takes as long, and is not.
   * @throws SteleError login_busy
   */
  verify(hash: string | undefined, password: string): Promise<boolean>
}

/** @param cost of the hashes that it makes */
export function passwordHasher(cost = parameters): PasswordHasher {
  let running = 0
  let places = atOnce + mostWaiting
  const waiting: (() => void)[] = []

  const inTurn = async <T>(work: () => Promise<T>): Promise<T> => {
    if (running >= atOnce) {
      if (waiting.length >= mostWaiting) throw new SteleError('login_busy')
      await new Promise<void>(resolve => waiting.push(resolve))
    } else running++
    try {
      return await work()
    } finally {
      const next = waiting.shift()
      if (next === undefined) running--
      else next()
    }
  }

  const tagOf = (password: string, salt: Buffer, { memory, passes, parallelism } = cost): Promise<Buffer> =>
    inTurn(() =>
      derive('argon2id', {
        // The same letters can be written in several ways.
        message: password.normalize('NFC'),
        nonce: salt,
        memory,
        passes,
        parallelism,
        tagLength: hashBytes,
      }),
    )

  return {
    async withPlace(work) {
      if (places === 0) throw new SteleError('login_busy')
      places--
      try {
        return await work()
      } finally {
        places++
      }
    },
    async hash(password) {
      const salt = randomBytes(saltBytes)
      const { memory, passes, parallelism } = cost
      const tag = await tagOf(password, salt)
      return `$argon2id$v=19$m=${memory},t=${passes},p=${parallelism}$${unpadded(salt)}$${unpadded(tag)}`
    },
    async verify(hash, password) {
      const [, memory, passes, parallelism, salt, tag] = shape.exec(hash ?? '') ?? []
      if (salt === undefined || tag === undefined) {
        await tagOf(password, randomBytes(saltBytes))
        return false
      }
      const given = { memory: Number(memory), passes: Number(passes), parallelism: Number(parallelism) }
      const expected = Buffer.from(tag, 'base64')
      const found = await tagOf(password, Buffer.from(salt, 'base64'), given)
      return found.length === expected.length && timingSafeEqual(found, expected)
    },
  }
}

/** Whether a hash was made with other parameters than new ones are. */
export function isOutdated(hash: string): boolean {
  const [, memory, passes, parallelism] = shape.exec(hash) ?? []
  return (
    Number(memory) !== parameters.memory ||
    Number(passes) !== parameters.passes ||
    Number(parallelism) !== parameters.parallelism
  )
}

/** Characters of a password: NIST asks for a minimum and for no rules about kinds of characters. */
const shortest = 12
const longest = 1_024

/** @throws SteleError invalid_value when nobody should have this password */
export function checkPassword(password: string, userId: string, param = 'password'): string {
  const invalid = (reason: string): SteleError =>
    new SteleError('invalid_value', { name: param, reason }, { param })
  if (password.length < shortest || password.length > longest)
    throw invalid(`it must have ${shortest} to ${longest} characters`)
  if (!password.isWellFormed()) throw invalid('it holds half a surrogate pair')
  if (new Set(password).size < 4) throw invalid('it is easily guessed')
  if (password.toLowerCase() === userId.toLowerCase()) throw invalid('it is the name of the user')
  return password
}

function unpadded(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '')
}
