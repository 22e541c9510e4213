import { createHash, createPublicKey, verify } from 'node:crypto'

/**
 * Proofs and checkpoints read as docs/audit-verification.md says, from that page alone: nothing here is the program's.
 */

const sha256 = (...parts: (Uint8Array | string)[]): Buffer => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest()
}

const node = (left: Uint8Array, right: Uint8Array): Buffer => sha256(Buffer.of(1), left, right)

export function isIncluded(
  leaf: Buffer,
  index: number,
  size: number,
  proof: readonly Buffer[],
  root: Buffer,
): boolean {
  if (index >= size) return false
  let [fn, sn, r] = [BigInt(index), BigInt(size - 1), leaf]
  for (const p of proof) {
    if (sn === 0n) return false
    if (fn % 2n === 1n || fn === sn) {
      r = node(p, r)
      while (fn % 2n === 0n && fn !== 0n) [fn, sn] = [fn >> 1n, sn >> 1n]
    } else r = node(r, p)
    ;[fn, sn] = [fn >> 1n, sn >> 1n]
  }
  return sn === 0n && r.equals(root)
}

export function isConsistent(
  from: number,
  fromRoot: Buffer,
  to: number,
  toRoot: Buffer,
  given: readonly Buffer[],
): boolean {
  if (from === to) return given.length === 0 && fromRoot.equals(toRoot)
  if (from === 0) return given.length === 0 && fromRoot.equals(sha256())
  if (from > to) return false
  const isPower = (BigInt(from) & (BigInt(from) - 1n)) === 0n
  const [first, ...proof] = isPower ? [fromRoot, ...given] : given
  if (first === undefined) return false
  let [fn, sn, fr, sr] = [BigInt(from - 1), BigInt(to - 1), first, first]
  while (fn % 2n === 1n) [fn, sn] = [fn >> 1n, sn >> 1n]
  for (const c of proof) {
    if (sn === 0n) return false
    if (fn % 2n === 1n || fn === sn) {
      ;[fr, sr] = [node(c, fr), node(c, sr)]
      while (fn % 2n === 0n && fn !== 0n) [fn, sn] = [fn >> 1n, sn >> 1n]
    } else sr = node(sr, c)
    ;[fn, sn] = [fn >> 1n, sn >> 1n]
  }
  return sn === 0n && fr.equals(fromRoot) && sr.equals(toRoot)
}

/** The size and root of a note that this key has signed; undefined when it has not. */
export function opened(note: string, vkey: string): { size: number; root: Buffer } | undefined {
  const [name = '', id = '', ...rest] = vkey.split('+')
  const key = Buffer.from(rest.join('+'), 'base64')
  if (sha256(`${name}\n`, key).toString('hex', 0, 4) !== id || key[0] !== 1) return undefined
  const publicKey = createPublicKey({
    key: Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), key.subarray(1)]),
    format: 'der',
    type: 'spki',
  })
  const end = note.lastIndexOf('\n\n') + 1
  const text = note.slice(0, end)
  const isSigned = note
    .slice(end + 1)
    .split('\n')
    .some(line => {
      const [dash, signer, encoded = ''] = line.split(' ')
      const bytes = Buffer.from(encoded, 'base64')
      if (dash !== '—' || signer !== name || bytes.toString('hex', 0, 4) !== id) return false
      return verify(null, Buffer.from(text), publicKey, bytes.subarray(4))
    })
  const [origin, size, root = ''] = text.split('\n')
  return isSigned && origin === name ? { size: Number(size), root: Buffer.from(root, 'base64') } : undefined
}
