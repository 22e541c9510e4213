import fc from 'fast-check'
import { expect, test } from 'vitest'
import { sha256 } from '../../src/audit/digest.ts'
import {
  consistencyProof,
  emptyRoot,
  Frontier,
  frontierAt,
  type HashReader,
  inclusionProof,
  leafHash,
  nodeHash,
  rootAt,
  verifyConsistency,
  verifyInclusion,
} from '../../src/audit/merkle.ts'

/** The vectors that implementations of Certificate Transparency share. */
const inputs = [
  '',
  '00',
  '10',
  '2021',
  '3031',
  '40414243',
  '5051525354555657',
  '606162636465666768696a6b6c6d6e6f',
]

const roots = [
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
] as const

const inclusions: [index: number, size: number, proof: string[]][] = [
  [0, 1, []],
  [
    0,
    8,
    [
      '96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7',
      '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
      '6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4',
    ],
  ],
  [
    5,
    8,
    [
      'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
      'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
      'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
    ],
  ],
  [2, 3, ['fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125']],
  [
    1,
    5,
    [
      '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
      '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
      'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
    ],
  ],
]

const consistencies: [from: number, to: number, proof: string[]][] = [
  [1, 1, []],
  [
    1,
    8,
    [
      '96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7',
      '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
      '6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4',
    ],
  ],
  [
    6,
    8,
    [
      '0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a',
      'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
      'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
    ],
  ],
  [
    2,
    5,
    [
      '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
      'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
    ],
  ],
]

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const unhex = (text: string): Buffer => Buffer.from(text, 'hex')

/** RFC 6962, section 2.1, word for word. */
function naiveRoot(leaves: readonly Buffer[]): Buffer {
  const [only] = leaves
  if (only === undefined) return sha256('')
  if (leaves.length === 1) return only
  let k = 1
  while (k * 2 < leaves.length) k *= 2
  return sha256(Buffer.concat([Buffer.of(1), naiveRoot(leaves.slice(0, k)), naiveRoot(leaves.slice(k))]))
}

/** PATH of section 2.1.1, word for word. */
function naivePath(m: number, leaves: readonly Buffer[]): Buffer[] {
  if (leaves.length === 1) return []
  let k = 1
  while (k * 2 < leaves.length) k *= 2
  return m < k
    ? [...naivePath(m, leaves.slice(0, k)), naiveRoot(leaves.slice(k))]
    : [...naivePath(m - k, leaves.slice(k)), naiveRoot(leaves.slice(0, k))]
}

/** SUBPROOF of section 2.1.2, word for word. */
function naiveSubproof(m: number, leaves: readonly Buffer[], isWhole: boolean): Buffer[] {
  if (m === leaves.length) return isWhole ? [] : [naiveRoot(leaves)]
  let k = 1
  while (k * 2 < leaves.length) k *= 2
  return m <= k
    ? [...naiveSubproof(m, leaves.slice(0, k), isWhole), naiveRoot(leaves.slice(k))]
    : [...naiveSubproof(m - k, leaves.slice(k), false), naiveRoot(leaves.slice(0, k))]
}

function readerOf(leaves: readonly Buffer[]): HashReader {
  return {
    async hash(level, index) {
      const width = 2 ** level
      const own = leaves.slice(index * width, (index + 1) * width)
      expect(own).toHaveLength(width)
      return naiveRoot(own)
    },
  }
}

const madeLeaves = (count: number): Buffer[] =>
  Array.from({ length: count }, (_, at) => leafHash(Buffer.from(`entry ${at}`)))

test('the known trees have the known roots', async () => {
  const leaves = inputs.map(input => leafHash(unhex(input)))
  expect(hex(emptyRoot)).toBe(roots[0])
  const frontier = new Frontier()
  for (const [at, leaf] of leaves.entries()) {
    expect(hex(frontier.root())).toBe(roots[at])
    frontier.append(leaf)
  }
  expect(hex(frontier.root())).toBe(roots[8])
  const reader = readerOf(leaves)
  for (const [size, root] of roots.entries()) expect(hex(await rootAt(reader, size))).toBe(root)
})

test('the known proofs are made and verified', async () => {
  const leaves = inputs.map(input => leafHash(unhex(input)))
  const reader = readerOf(leaves)
  for (const [index, size, proof] of inclusions) {
    expect((await inclusionProof(reader, index, size)).map(hex)).toEqual(proof)
    const leaf = leafHash(unhex(inputs[index] ?? ''))
    const claim = { index, size, leaf, proof: proof.map(unhex), root: unhex(roots[size] ?? '') }
    expect(verifyInclusion(claim)).toBe(true)
    expect(verifyInclusion({ ...claim, root: sha256('another') })).toBe(false)
  }
  for (const [from, to, proof] of consistencies) {
    expect((await consistencyProof(reader, from, to)).map(hex)).toEqual(proof)
    const claim = { from, to, fromRoot: unhex(roots[from] ?? ''), toRoot: unhex(roots[to] ?? '') }
    expect(verifyConsistency({ ...claim, proof: proof.map(unhex) })).toBe(true)
  }
})

const most = 70

test('every proof of every tree of up to 70 leaves is as the naive computation has it', async () => {
  const leaves = madeLeaves(most)
  // Each hash is asked for often.
  const hashes = new Map<string, Promise<Buffer>>()
  const slow = readerOf(leaves)
  const reader: HashReader = {
    hash(level, index) {
      const key = `${level}/${index}`
      const known = hashes.get(key) ?? slow.hash(level, index)
      hashes.set(key, known)
      return known
    },
  }
  const allRoots = Array.from({ length: most + 1 }, (_, size) => naiveRoot(leaves.slice(0, size)))
  for (let size = 1; size <= most; size++) {
    const root = allRoots[size] ?? emptyRoot
    expect(hex(await rootAt(reader, size))).toBe(hex(root))
    const frontier = await frontierAt(reader, size)
    expect(hex(frontier.root())).toBe(hex(root))
    const tree = leaves.slice(0, size)
    for (const [index, leaf] of tree.entries()) {
      const proof = await inclusionProof(reader, index, size)
      expect(verifyInclusion({ index, size, leaf, proof, root })).toBe(true)
      // The naive one takes long, and the larger trees contain the smaller.
      if (size % 7 === 0) expect(proof.map(hex)).toEqual(naivePath(index, tree).map(hex))
    }
    for (let from = 0; from <= size; from++) {
      const proof = await consistencyProof(reader, from, size)
      const fromRoot = allRoots[from] ?? emptyRoot
      expect(verifyConsistency({ from, to: size, fromRoot, toRoot: root, proof })).toBe(true)
      if (size % 7 === 0 && from > 0) expect(proof.map(hex)).toEqual(naiveSubproof(from, tree, true).map(hex))
    }
  }
})

/** A hash with one bit changed. */
const bent = (hash: Uint8Array, bit: number): Buffer => {
  const other = Buffer.from(hash)
  other[bit >> 3] = (other[bit >> 3] ?? 0) ^ (1 << (bit & 7))
  return other
}

const changedProof = (proof: readonly Buffer[], place: number, bit: number): Buffer[][] => {
  const changed = [
    [...proof, sha256('more')],
    [sha256('more'), ...proof],
  ]
  if (proof.length > 0) {
    const at = place % proof.length
    changed.push(proof.with(at, bent(proof[at] ?? emptyRoot, bit)), proof.toSpliced(at, 1))
    changed.push(proof.with(at, (proof[at] ?? emptyRoot).subarray(1)))
  }
  if (proof.length > 1) changed.push(proof.toReversed())
  return changed
}

test('an inclusion that is changed in any way is refused', async () => {
  const leaves = madeLeaves(most)
  const reader = readerOf(leaves)
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: most }),
      fc.nat(most - 1),
      fc.nat(most),
      fc.nat(255),
      async (size, chosen, other, bit) => {
        const index = chosen % size
        const leaf = leaves[index] ?? emptyRoot
        const claim = {
          index,
          size,
          leaf,
          root: await rootAt(reader, size),
          proof: await inclusionProof(reader, index, size),
        }
        expect(verifyInclusion(claim)).toBe(true)
        expect(verifyInclusion({ ...claim, leaf: bent(leaf, bit) })).toBe(false)
        expect(verifyInclusion({ ...claim, root: bent(claim.root, bit) })).toBe(false)
        if (other !== index) expect(verifyInclusion({ ...claim, index: other })).toBe(false)
        for (const proof of changedProof(claim.proof, other, bit))
          expect(verifyInclusion({ ...claim, proof })).toBe(false)
        for (const wrong of [-1, 0.5, size, Number.NaN, 2 ** 53])
          expect(verifyInclusion({ ...claim, index: wrong })).toBe(false)
      },
    ),
  )
})

test('a consistency that is changed in any way is refused', async () => {
  const leaves = madeLeaves(most)
  const reader = readerOf(leaves)
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: most }),
      fc.nat(most),
      fc.nat(most),
      fc.nat(255),
      async (to, chosen, place, bit) => {
        const from = chosen % (to + 1)
        const proof = await consistencyProof(reader, from, to)
        const claim = {
          from,
          to,
          proof,
          fromRoot: await rootAt(reader, from),
          toRoot: await rootAt(reader, to),
        }
        expect(verifyConsistency(claim)).toBe(true)
        expect(verifyConsistency({ ...claim, fromRoot: bent(claim.fromRoot, bit) })).toBe(false)
        // Of the empty tree nothing can be said but that it is empty.
        if (from > 0) expect(verifyConsistency({ ...claim, toRoot: bent(claim.toRoot, bit) })).toBe(false)
        if (from !== to) expect(verifyConsistency({ ...claim, from: to, to: from })).toBe(false)
        for (const changed of changedProof(proof, place, bit))
          expect(verifyConsistency({ ...claim, proof: changed })).toBe(false)
      },
    ),
  )
})

test('a frontier goes on from its hashes', () => {
  const leaves = madeLeaves(most)
  for (let size = 0; size < most; size++) {
    const before = new Frontier()
    for (const leaf of leaves.slice(0, size)) before.append(leaf)
    const after = new Frontier(before.size, before.hashes)
    for (const leaf of leaves.slice(size)) after.append(leaf)
    expect(after.size).toBe(most)
    expect(hex(after.root())).toBe(hex(naiveRoot(leaves)))
  }
  expect(() => new Frontier(3, [emptyRoot])).toThrow(RangeError)
  expect(() => new Frontier(-1, [])).toThrow(RangeError)
})

test('trees beyond 2^32 leaves are counted right', async () => {
  // All leaves alike, so that the hash of a subtree is known by its level.
  const levels = [leafHash(Buffer.from('same'))]
  for (let level = 1; level < 53; level++) {
    const below = levels[level - 1] ?? emptyRoot
    levels.push(nodeHash(below, below))
  }
  const reader: HashReader = { hash: async level => levels[level] ?? emptyRoot }
  const [leaf = emptyRoot] = levels
  for (const size of [2 ** 31 + 1, 2 ** 33 + 5, 2 ** 40, 2 ** 47 + 2 ** 33 + 1]) {
    const root = await rootAt(reader, size)
    for (const index of [0, 2 ** 31, size - 1])
      expect(
        verifyInclusion({ index, size, leaf, root, proof: await inclusionProof(reader, index, size) }),
      ).toBe(true)
    for (const from of [1, 2 ** 31, size - 1]) {
      const proof = await consistencyProof(reader, from, size)
      const fromRoot = await rootAt(reader, from)
      expect(verifyConsistency({ from, to: size, fromRoot, toRoot: root, proof })).toBe(true)
    }
  }
})

test('what is asked of a tree that it does not have is refused', async () => {
  const reader = readerOf(madeLeaves(3))
  await expect(inclusionProof(reader, 3, 3)).rejects.toThrow(RangeError)
  await expect(inclusionProof(reader, -1, 3)).rejects.toThrow(RangeError)
  await expect(consistencyProof(reader, 4, 3)).rejects.toThrow(RangeError)
  await expect(rootAt(reader, 0.5)).rejects.toThrow(RangeError)
  expect(() => nodeHash(emptyRoot, Buffer.alloc(31))).toThrow(RangeError)
})
