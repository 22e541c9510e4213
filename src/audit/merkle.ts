import { digestLength, sha256 } from './digest.ts'

/**
 * The Merkle tree of RFC 6962, section 2.1 (the same as RFC 9162's), with SHA-256. Sizes and indexes are whole numbers
 * up to 2^53, so they are halved by division: the bit operators of JavaScript end at 2^31.
 */

/** The hash of an empty tree: that of no bytes. */
export const emptyRoot: Buffer = sha256('')

/** SHA-256(0x00 ‖ entry). */
export function leafHash(entry: Uint8Array): Buffer {
  const input = Buffer.allocUnsafe(1 + entry.byteLength)
  input[0] = 0
  input.set(entry, 1)
  return sha256(input)
}

/** Reused: hashing is synchronous, and a node is the most frequent thing that is hashed. */
const node = Buffer.alloc(1 + 2 * digestLength, 1)

/** SHA-256(0x01 ‖ left ‖ right). @param left, right hashes of 32 bytes each */
export function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  if (left.byteLength !== digestLength || right.byteLength !== digestLength)
    throw new RangeError('A hash has 32 bytes.')
  node.set(left, 1)
  node.set(right, 1 + digestLength)
  return sha256(node)
}

/**
 * A tree that only grows, kept as the hashes of the complete subtrees that it consists of: one for each 1 bit of its size,
 * the largest subtree first. That is all there is to know to append to it.
 */
export class Frontier {
  #size: number
  readonly #hashes: Buffer[]

  /** @throws RangeError when there are not as many hashes as the size has 1 bits */
  constructor(size = 0, hashes: readonly Uint8Array[] = []) {
    if (!isSize(size) || hashes.length !== subtreesOf(0, size).length)
      throw new RangeError('These are not the hashes of a tree of this size.')
    this.#size = size
    this.#hashes = hashes.map(hash => Buffer.from(hash))
  }

  /** The number of leaves. */
  get size(): number {
    return this.#size
  }

  /** The hashes of the complete subtrees, the largest first. */
  get hashes(): readonly Buffer[] {
    return [...this.#hashes]
  }

  append(leaf: Uint8Array): void {
    let hash: Buffer = Buffer.from(leaf)
    for (let rest = this.#size; rest % 2 === 1; rest = Math.floor(rest / 2))
      hash = nodeHash(this.#hashes.pop() ?? hash, hash)
    this.#hashes.push(hash)
    this.#size++
  }

  root(): Buffer {
    return joined(this.#hashes)
  }
}

/** Where hashes of a tree are read from. */
export interface HashReader {
  /** The hash of the complete subtree over the leaves `index * 2^level` to `(index + 1) * 2^level`, the end not included. */
  hash(level: number, index: number): Promise<Buffer>
}

/** The root of the tree over the first `size` leaves. */
export async function rootAt(reader: HashReader, size: number): Promise<Buffer> {
  requireOrder(0, size)
  return rangeHash(reader, 0, size)
}

/** The frontier of the tree over the first `size` leaves. */
export async function frontierAt(reader: HashReader, size: number): Promise<Frontier> {
  requireOrder(0, size)
  return new Frontier(size, await subtreeHashes(reader, 0, size))
}

/**
 * What leads from a leaf to the root of the tree of this size: RFC 6962, section 2.1.1, the lowest first.
 * @throws RangeError unless index < size
 */
export async function inclusionProof(reader: HashReader, index: number, size: number): Promise<Buffer[]> {
  requireOrder(index, size - 1)
  const proof: Buffer[] = []
  let [start, end] = [0, size]
  while (end - start > 1) {
    const middle = start + splitOf(end - start)
    if (index < middle) {
      proof.push(await rangeHash(reader, middle, end))
      end = middle
    } else {
      proof.push(await rangeHash(reader, start, middle))
      start = middle
    }
  }
  return proof.reverse()
}

/**
 * What shows that the tree of size `to` begins with the tree of size `from`: RFC 6962, section 2.1.2. It is empty when the
 * sizes are equal, and when `from` is 0.
 * @throws RangeError unless from ≤ to
 */
export async function consistencyProof(reader: HashReader, from: number, to: number): Promise<Buffer[]> {
  requireOrder(from, to)
  if (from === 0 || from === to) return []
  const proof: Buffer[] = []
  let [start, end] = [0, to]
  while (from !== end) {
    const middle = start + splitOf(end - start)
    if (from <= middle) {
      proof.push(await rangeHash(reader, middle, end))
      end = middle
    } else {
      proof.push(await rangeHash(reader, start, middle))
      start = middle
    }
  }
  // The whole of the older tree is known to whoever verifies.
  if (start > 0) proof.push(await rangeHash(reader, start, end))
  return proof.reverse()
}

export interface InclusionClaim {
  readonly index: number
  readonly size: number
  /** The hash of the leaf. */
  readonly leaf: Uint8Array
  readonly proof: readonly Uint8Array[]
  readonly root: Uint8Array
}

/** Whether this leaf is at this index of the tree with this root: RFC 9162, section 2.1.3.2. */
export function verifyInclusion({ index, size, leaf, proof, root }: InclusionClaim): boolean {
  if (!isSize(index) || !isSize(size) || index >= size) return false
  if (![leaf, root, ...proof].every(isHash)) return false
  let [node, last] = [index, size - 1]
  let hash: Buffer = Buffer.from(leaf)
  for (const step of proof) {
    if (last === 0) return false
    if (node % 2 === 1 || node === last) {
      hash = nodeHash(step, hash)
      while (node % 2 === 0 && node !== 0) [node, last] = [half(node), half(last)]
    } else hash = nodeHash(hash, step)
    ;[node, last] = [half(node), half(last)]
  }
  return last === 0 && hash.equals(root)
}

export interface ConsistencyClaim {
  readonly from: number
  readonly to: number
  readonly fromRoot: Uint8Array
  readonly toRoot: Uint8Array
  readonly proof: readonly Uint8Array[]
}

/**
 * Whether the tree with the newer root begins with the tree with the older one: RFC 9162, section 2.1.4.2. Every tree
 * begins with the empty one.
 */
export function verifyConsistency({ from, to, fromRoot, toRoot, proof }: ConsistencyClaim): boolean {
  if (!isSize(from) || !isSize(to) || from > to) return false
  if (![fromRoot, toRoot, ...proof].every(isHash)) return false
  const isEmptyFirst = from === 0 && emptyRoot.equals(fromRoot)
  if (from === to)
    return proof.length === 0 && emptyRoot.equals(fromRoot) === (from === 0) && same(fromRoot, toRoot)
  if (from === 0) return proof.length === 0 && isEmptyFirst
  const path = isPowerOfTwo(from) ? [fromRoot, ...proof] : proof
  const [first, ...steps] = path
  if (first === undefined) return false
  let [node, last] = [from - 1, to - 1]
  while (node % 2 === 1) [node, last] = [half(node), half(last)]
  let [older, newer]: [Buffer, Buffer] = [Buffer.from(first), Buffer.from(first)]
  for (const step of steps) {
    if (last === 0) return false
    if (node % 2 === 1 || node === last) {
      older = nodeHash(step, older)
      newer = nodeHash(step, newer)
      while (node % 2 === 0 && node !== 0) [node, last] = [half(node), half(last)]
    } else newer = nodeHash(newer, step)
    ;[node, last] = [half(node), half(last)]
  }
  return last === 0 && older.equals(fromRoot) && newer.equals(toRoot)
}

/** The hash over the leaves from `start` up to `end`; `start` is a multiple of the largest power of two in between. */
async function rangeHash(reader: HashReader, start: number, end: number): Promise<Buffer> {
  return joined(await subtreeHashes(reader, start, end))
}

async function subtreeHashes(reader: HashReader, start: number, end: number): Promise<Buffer[]> {
  const hashes: Buffer[] = []
  for (const { level, index } of subtreesOf(start, end)) hashes.push(await reader.hash(level, index))
  return hashes
}

/** The complete subtrees that leaves consist of, the largest first. */
function subtreesOf(start: number, end: number): { level: number; index: number }[] {
  const subtrees: { level: number; index: number }[] = []
  for (let at = start; at < end; ) {
    const level = Math.floor(Math.log2(end - at))
    const width = 2 ** level
    subtrees.push({ level, index: at / width })
    at += width
  }
  return subtrees
}

/** The root over complete subtrees, the largest of which comes first. */
function joined(hashes: readonly Buffer[]): Buffer {
  let root: Buffer | undefined
  for (const hash of hashes.toReversed()) root = root === undefined ? hash : nodeHash(hash, root)
  return Buffer.from(root ?? emptyRoot)
}

/** The largest power of two that is smaller than `size`. */
function splitOf(size: number): number {
  return 2 ** Math.floor(Math.log2(size - 1))
}

function half(number: number): number {
  return Math.floor(number / 2)
}

function isSize(number: number): boolean {
  return Number.isSafeInteger(number) && number >= 0
}

function isHash(bytes: Uint8Array): boolean {
  return bytes.byteLength === digestLength
}

function isPowerOfTwo(number: number): boolean {
  return 2 ** Math.round(Math.log2(number)) === number
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}

function requireOrder(low: number, high: number): void {
  if (isSize(low) && isSize(high) && low <= high) return
  throw new RangeError(`There is nothing to prove of ${low} in a tree of ${high}.`)
}
