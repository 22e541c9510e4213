import { createHash, createPublicKey, type KeyObject, verify } from 'node:crypto'

/**
 * A verifier of exports that was written from docs/audit-verification.md alone: it shares nothing with the one that Stele has,
 * so that the two are wrong in the same way only where the page is.
 */

const sha256 = (...parts: readonly (Buffer | string)[]): Buffer => {
  const digest = createHash('sha256')
  for (const part of parts) digest.update(part)
  return digest.digest()
}

const node = (left: Buffer, right: Buffer): Buffer => sha256(Buffer.from([1]), left, right)

type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json }
type Fields = { readonly [name: string]: Json }

function refuse(reason: string): never {
  throw new Error(reason)
}

function fromBase64(value: Json | undefined, length?: number): Buffer {
  if (typeof value !== 'string') return refuse('no base64')
  const bytes = Buffer.from(value, 'base64')
  if (bytes.toString('base64') !== value || (length !== undefined && bytes.length !== length))
    return refuse('base64 in another spelling, or of another length')
  return bytes
}

function text(value: Json | undefined): string {
  return typeof value === 'string' && value.isWellFormed() ? value : refuse('no text')
}

function number(value: Json | undefined): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : refuse('no number')
}

function fields(value: Json | undefined): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Fields)
    : refuse('no object')
}

/** Refuses an object that has not these members, in this order. @param more members that may follow, in their order */
function members(value: Fields, names: readonly string[], more: readonly string[] = []): void {
  const found = Object.keys(value)
  const allowed = [...names, ...more.filter(name => found.includes(name))]
  if (found.join() !== allowed.join()) refuse(`members ${found.join()}`)
}

interface Key {
  readonly name: string
  readonly id: string
  readonly key: KeyObject
}

function keyOf(vkey: string): Key {
  const first = vkey.indexOf('+')
  const second = vkey.indexOf('+', first + 1)
  const name = vkey.slice(0, first)
  const id = vkey.slice(first + 1, second)
  const bytes = fromBase64(vkey.slice(second + 1), 33)
  if (bytes[0] !== 1 || id !== sha256(name, '\n', bytes).toString('hex', 0, 4)) refuse('no vkey')
  const key = createPublicKey({
    key: { kty: 'OKP', crv: 'Ed25519', x: bytes.subarray(1).toString('base64url') },
    format: 'jwk',
  })
  return { name, id, key }
}

interface Head {
  readonly origin: string
  readonly size: number
  readonly root: Buffer
  /** Keys of the log that have signed it. */
  readonly signers: readonly Key[]
  /** When the keys were made that it names, by their ids. */
  readonly made: ReadonlyMap<string, number>
}

function openNote(note: string, keys: readonly Key[]): Head {
  const end = note.lastIndexOf('\n\n')
  if (end < 0 || !note.endsWith('\n')) refuse('no note')
  const signed = note.slice(0, end + 1)
  const signers: Key[] = []
  for (const line of note.slice(end + 2, -1).split('\n')) {
    const [, name, encoded] = /^— ([^ ]+) ([^ ]+)$/.exec(line) ?? refuse('no line of a signature')
    const bytes = fromBase64(encoded)
    const key = keys.find(one => one.name === name && one.id === bytes.toString('hex', 0, 4))
    if (key === undefined) continue
    if (!verify(null, Buffer.from(signed), key.key, bytes.subarray(4))) refuse('a signature is wrong')
    signers.push(key)
  }
  const [origin = '', digits = '', root, ...more] = signed.split('\n')
  if (!/^(0|[1-9]\d*)$/.test(digits)) refuse('no size')
  const own = signers.filter(({ name }) => name === origin)
  if (own.length === 0) refuse('the log has not signed it')
  const made = new Map<string, number>()
  for (const line of more) {
    const [, id, at] = /^key ([0-9a-f]{8}) (\d+)$/.exec(line) ?? []
    if (id !== undefined) made.set(id, Number(at))
  }
  return { origin, size: number(Number(digits)), root: fromBase64(root, 32), signers: own, made }
}

/** Whose turn it is to sign. */
class Turns {
  readonly #keys: readonly Key[]
  readonly #signed = new Set<Key>()
  #current: Key | undefined
  #newest: Head | undefined

  constructor(keys: readonly Key[]) {
    this.#keys = keys
  }

  take(head: Head): void {
    const fresh = head.signers.filter(key => !this.#signed.has(key))
    fresh.sort((a, b) => (head.made.get(a.id) ?? 0) - (head.made.get(b.id) ?? 0))
    this.#current = fresh.at(-1) ?? this.#current
    if (this.#current !== undefined && !head.signers.includes(this.#current)) refuse('a retired key')
    for (const key of head.signers) this.#signed.add(key)
    this.#newest = head
  }

  end(): void {
    const { origin, signers } = this.#newest ?? refuse('no checkpoint')
    const last = this.#keys.filter(({ name }) => name === origin).at(-1)
    if (last !== undefined && !signers.includes(last) && !this.#signed.has(last)) refuse('not the last key')
  }
}

class Tree {
  size = 0
  readonly #roots: Buffer[] = []

  add(leaf: Buffer): void {
    let hash = leaf
    for (let size = this.size; size % 2 === 1; size = Math.floor(size / 2))
      hash = node(this.#roots.pop() ?? refuse('no tree'), hash)
    this.#roots.push(hash)
    this.size++
  }

  get root(): Buffer {
    const last = this.#roots.at(-1)
    if (last === undefined) return sha256()
    return this.#roots.slice(0, -1).reduceRight((hash, left) => node(left, hash), last)
  }
}

const eventMembers = [
  'action',
  'actor',
  'category',
  'commitment',
  'created_at',
  'details',
  'id',
  'outcome',
  'severity',
  'target',
  'user_id',
  'v',
]

/** Returns the leaf of an event's line. */
function leafOf(line: Fields): Buffer {
  const event = fields(line['event'])
  members(event, eventMembers)
  for (const name of ['action', 'actor', 'category', 'id', 'outcome', 'severity', 'user_id'])
    text(event[name])
  for (const name of ['details', 'target']) if (event[name] !== null) text(event[name])
  number(event['created_at'])
  if (event['v'] !== 1) refuse('another version')
  const content = event['commitment'] ?? null
  if (content !== null && !/^[0-9a-f]{64}$/.test(text(content))) refuse('no commitment')
  if (line['content'] !== undefined) {
    const kept = fields(line['content'])
    members(kept, ['salt', 'details'])
    const hash = sha256(fromBase64(kept['salt'], 32), text(kept['details'])).toString('hex')
    if (hash !== content) refuse('the content is another')
  }
  const commitment = sha256(fromBase64(line['salt'], 16), JSON.stringify(event))
  const entry = `stele-audit/v1\n${text(event['id'])}\n${commitment.toString('base64')}\n`
  const leaf = sha256(Buffer.from([0]), entry)
  if (line['leaf'] !== undefined && !fromBase64(line['leaf'], 32).equals(leaf)) refuse('the leaf is another')
  return leaf
}

function isIncluded(
  leaf: Buffer,
  index: number,
  { size, root }: Pick<Head, 'size' | 'root'>,
  proof: readonly Buffer[],
): boolean {
  if (index >= size) return false
  let [fn, sn, r] = [index, size - 1, leaf]
  const halve = (): void => {
    fn = Math.floor(fn / 2)
    sn = Math.floor(sn / 2)
  }
  for (const p of proof) {
    if (sn === 0) return false
    if (fn % 2 === 1 || fn === sn) {
      r = node(p, r)
      while (fn % 2 === 0 && fn !== 0) halve()
    } else r = node(r, p)
    halve()
  }
  return sn === 0 && r.equals(root)
}

function linesOf(bytes: Buffer): Fields[] {
  const whole = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  if (!whole.endsWith('\n')) refuse('the last line has no end')
  return whole
    .slice(0, -1)
    .split('\n')
    .map(line => {
      const value = JSON.parse(line) as Json
      // Whatever is spelled otherwise would be read otherwise by somebody.
      if (JSON.stringify(value) !== line) refuse('another spelling')
      return fields(value)
    })
}

/** Returns how many events are proven. @throws Error that says what is wrong */
export function verifyExport(
  bytes: Buffer,
  vkeys: readonly string[],
  kept: readonly string[] = [],
): { readonly events: number } {
  const keys = [...new Set(vkeys.toReversed())].reverse().map(keyOf)
  const lines = linesOf(bytes)
  const [first] = lines
  if (first?.['complete'] === false) return verifySelection(first, lines.slice(1), keys)
  const known = kept.map(note => openNote(note, keys)).sort((a, b) => a.size - b.size)
  const turns = new Turns(keys)
  const tree = new Tree()
  let expected: number | undefined
  let last: Head | undefined
  const meet = (): void => {
    for (const { size, root } of known)
      if (size === tree.size && !root.equals(tree.root)) refuse('not what was kept')
  }
  meet()
  for (const [at, line] of lines.entries()) {
    if ('audit_export' in line) {
      members(line, ['audit_export', 'origin', 'created_at', 'size', 'complete', 'about'])
      if (at > 0 || line['audit_export'] !== 1 || line['complete'] !== true) refuse('no such first line')
      expected = number(line['size'])
    } else if ('key' in line) {
      members(line, ['key'])
      text(line['key'])
    } else if ('checkpoint' in line) {
      members(line, ['checkpoint'])
      const head = openNote(text(line['checkpoint']), keys)
      if (head.size !== tree.size || !head.root.equals(tree.root)) refuse('the checkpoint is of another tree')
      if (head.origin !== (last?.origin ?? head.origin)) refuse('of another log')
      for (const one of known) if (one.size > (last?.size ?? -1) && one.size <= head.size) turns.take(one)
      turns.take(head)
      last = head
    } else {
      members(line, ['index', 'salt', 'event'], ['content', 'leaf'])
      if (number(line['index']) !== tree.size) refuse('another index')
      tree.add(leafOf(line))
      meet()
    }
  }
  if (last?.size !== tree.size || (expected !== undefined && expected !== tree.size)) refuse('not to the end')
  if (known.some(({ size }) => size > tree.size)) refuse('less than was kept')
  turns.end()
  return { events: tree.size }
}

function verifySelection(
  first: Fields,
  lines: readonly Fields[],
  keys: readonly Key[],
): { readonly events: number } {
  members(first, [
    'audit_export',
    'origin',
    'created_at',
    'size',
    'complete',
    'filter',
    'checkpoint',
    'about',
  ])
  const head = openNote(text(first['checkpoint']), keys)
  if (first['audit_export'] !== 1 || head.size !== number(first['size'])) refuse('no such first line')
  const turns = new Turns(keys)
  turns.take(head)
  turns.end()
  let events = 0
  let before = -1
  for (const line of lines) {
    if ('key' in line) {
      members(line, ['key'])
      continue
    }
    members(line, ['index', 'salt', 'event', ...('content' in line ? ['content'] : [])], ['leaf', 'proof'])
    const index = number(line['index'])
    if (index <= before) refuse('not in their order')
    before = index
    const { proof } = line
    if (!Array.isArray(proof)) refuse('no proof')
    const hashes = (proof as readonly Json[]).map(hash => fromBase64(hash, 32))
    if (!isIncluded(leafOf(line), index, head, hashes)) refuse('not proven')
    events++
  }
  return { events }
}
