import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Frontier, frontierAt, leafHash, rootAt } from '../../src/audit/merkle.ts'
import {
  entryBundle,
  lastTiles,
  parseTilePath,
  tileHashReader,
  tilePath,
  tileRoot,
  tileWidth,
  tileWidthAt,
} from '../../src/audit/tiles.ts'

test('paths of tiles are those of the specification', () => {
  expect(tilePath({ level: 0, tile: 1_234_067, width: 256 })).toBe('tile/0/x001/x234/067')
  expect(tilePath({ level: 0, tile: 1234, width: 256 })).toBe('tile/0/x001/234')
  expect(tilePath({ level: 1, tile: 0, width: 17 })).toBe('tile/1/000.p/17')
  expect(tilePath({ level: 'entries', tile: 999, width: 1 })).toBe('tile/entries/999.p/1')
})

test('every tile has one path, and every path one tile', () => {
  const name = fc.record({
    level: fc.oneof(fc.constant('entries' as const), fc.nat(63)),
    tile: fc.oneof(fc.nat(2000), fc.maxSafeNat()),
    width: fc.integer({ min: 1, max: 256 }),
  })
  fc.assert(
    fc.property(name, tile => {
      expect(parseTilePath(tilePath(tile))).toEqual(tile)
    }),
  )
  const others = [
    'tile/0/67',
    'tile/0/0067',
    'tile/0/x000/067',
    'tile/00/067',
    'tile/64/067',
    'tile/-1/067',
    'tile/0/x001/x234',
    'tile/0/001/234',
    'tile/0/000.p/0',
    'tile/0/000.p/256',
    'tile/0/000.p/01',
    'tile/0/000.p/',
    'tile/0/000/',
    '/tile/0/000',
    'tile/0/000\n',
    'tile/data/000',
    `tile/0/${'x999/'.repeat(6)}999`,
  ]
  for (const path of others) expect(parseTilePath(path), path).toBeUndefined()
})

test('the tiles of a tree are those of the specification', () => {
  expect(lastTiles(0)).toEqual([])
  expect(lastTiles(70_000)).toEqual([
    { level: 0, tile: 273, width: 112 },
    { level: 1, tile: 1, width: 17 },
    { level: 2, tile: 0, width: 1 },
  ])
  expect(lastTiles(256)).toEqual([
    { level: 0, tile: 0, width: 256 },
    { level: 1, tile: 0, width: 1 },
  ])
  expect(tileWidthAt(0, 272, 70_000)).toBe(256)
  expect(tileWidthAt(0, 273, 70_000)).toBe(112)
  expect(tileWidthAt(0, 274, 70_000)).toBe(0)
  expect(tileWidthAt(1, 1, 70_000)).toBe(17)
  expect(tileWidthAt(3, 0, 70_000)).toBe(0)
})

test('a tree is read from its tiles', async () => {
  const size = 66_000
  const levels: Buffer[][] = [[]]
  const frontier = new Frontier()
  const expected = new Map<number, string>()
  const sizes = [1, 255, 256, 257, 511, 1000, 65_535, 65_536, 65_537, size]
  for (let at = 0; at < size; at++) {
    const leaf = leafHash(Buffer.from(String(at)))
    frontier.append(leaf)
    let hash = leaf
    for (let level = 0; ; level++) {
      const row = levels[level] ?? []
      levels[level] = row
      row.push(hash)
      if (row.length % tileWidth !== 0) break
      hash = tileRoot(Buffer.concat(row.slice(-tileWidth)))
    }
    if (sizes.includes(frontier.size)) expected.set(frontier.size, frontier.root().toString('hex'))
  }
  const read: string[] = []
  const reader = tileHashReader(async (level, tile) => {
    read.push(tilePath({ level, tile, width: tileWidth }))
    return Buffer.concat((levels[level] ?? []).slice(tile * tileWidth, (tile + 1) * tileWidth))
  })
  for (const known of sizes) {
    expect((await rootAt(reader, known)).toString('hex')).toBe(expected.get(known))
    expect((await frontierAt(reader, known)).root().toString('hex')).toBe(expected.get(known))
  }
  // Tiles that are needed again are remembered.
  expect(read.length).toBe(new Set(read).size)
  await expect(reader.hash(0, size)).rejects.toThrow(RangeError)
  await expect(reader.hash(8, 257)).rejects.toThrow(RangeError)
})

test('a bundle has every entry after its length', () => {
  const bundle = entryBundle([Buffer.from('ab'), Buffer.alloc(0), Buffer.alloc(300, 7)])
  expect(bundle.subarray(0, 6).toString('hex')).toBe('000261620000')
  expect(bundle.readUInt16BE(6)).toBe(300)
  expect(bundle.byteLength).toBe(2 + 2 + 2 + 2 + 300)
  expect(() => entryBundle([Buffer.alloc(65_536)])).toThrow(RangeError)
})
