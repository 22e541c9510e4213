import { createHmac, generateKeyPairSync } from 'node:crypto'
import { expect, test } from 'vitest'
import { checkpointText, openCheckpoint } from '../../src/audit/checkpoint.ts'
import { consistencyProof, Frontier, type HashReader, leafHash, nodeHash } from '../../src/audit/merkle.ts'
import { signNote } from '../../src/audit/note.ts'
import { formatVkey, parseVkey } from '../../src/audit/note-keys.ts'
import { deliver } from '../../src/audit/places/webhook.ts'
import { cosign, WitnessDisagrees } from '../../src/audit/places/witness.ts'
import { startServer, startWitness } from '../harness/witness.ts'

const { privateKey, publicKey } = generateKeyPairSync('ed25519')
const origin = 'log.example'
const vkey = formatVkey(origin, publicKey)
const leaves = Array.from({ length: 8 }, (_, index) => leafHash(Buffer.from(`entry ${index}`)))

const reader: HashReader = {
  async hash(level, index) {
    if (level === 0) return leaves[index] ?? Buffer.alloc(32)
    return nodeHash(await this.hash(level - 1, index * 2), await this.hash(level - 1, index * 2 + 1))
  },
}

function noteOf(size: number, first = 0): string {
  const frontier = new Frontier()
  for (const leaf of [...leaves.slice(first), ...leaves].slice(0, size)) frontier.append(leaf)
  return signNote(checkpointText({ origin, size, root: frontier.root() }), [{ name: origin, privateKey }])
}

const proofTo = (to: number) => (from: number) => consistencyProof(reader, from, to)

test('a delivery to a webhook is the note, signed as Standard Webhooks have it', async () => {
  const { url, received } = await startServer(() => ({ status: 200 }))
  const note = noteOf(5)
  await deliver({ url, secret: 'whsec_c2VjcmV0' }, note, { now: 1_795_000_000_999 })
  await deliver({ url, secret: 'secret' }, note)
  const [first, second] = received
  expect(first?.body).toBe(note)
  expect(first?.headers['webhook-timestamp']).toBe('1795000000')
  expect(first?.headers['webhook-id']).toBe(second?.headers['webhook-id'])
  const text = `${first?.headers['webhook-id']}.1795000000.${note}`
  const expected = `v1,${createHmac('sha256', 'secret').update(text).digest('base64')}`
  expect(first?.headers['webhook-signature']).toBe(expected)
  expect(second?.headers['webhook-signature']).toMatch(/^v1,/)
})

test('a webhook that redirects is not followed', async () => {
  const elsewhere = await startServer(() => ({ status: 200 }))
  const { url } = await startServer(() => ({ status: 307, headers: { location: elsewhere.url } }))
  await expect(deliver({ url, secret: 'secret' }, noteOf(5))).rejects.toThrow('the webhook answered 307')
  expect(elsewhere.received).toEqual([])
})

test('a witness is told from where on it knows the log, and its cosignature is taken into the note', async () => {
  const witness = await startWitness()
  witness.trust(vkey)
  const known = { url: witness.url, key: parseVkey(witness.vkey) }
  const keys = [vkey, witness.vkey].map(parseVkey)
  for (const size of [3, 5, 5, 8]) {
    const cosigned = await cosign(known, noteOf(size), { from: 3, proofFrom: proofTo(size) })
    expect(openCheckpoint(cosigned, keys).signedBy).toHaveLength(2)
    expect(witness.seen.size).toBe(size)
  }
  // At first it was thought to know what it does not.
  expect(witness.received.slice(0, 2).map(({ body }) => body.split('\n', 1)[0])).toEqual(['old 3', 'old 0'])
})

test('a witness that has seen another log, or more of it, is believed', async () => {
  const witness = await startWitness()
  witness.trust(vkey)
  const known = { url: witness.url, key: parseVkey(witness.vkey) }
  await cosign(known, noteOf(8), { from: 0, proofFrom: proofTo(8) })
  const older = cosign(known, noteOf(5), { from: 0, proofFrom: proofTo(5) })
  await expect(older).rejects.toThrow(WitnessDisagrees)
  const other = cosign(known, noteOf(8, 2), { from: 8, proofFrom: proofTo(8) })
  await expect(other).rejects.toThrow(WitnessDisagrees)
})

test('what a witness has not signed is not taken', async () => {
  const witness = await startWitness()
  witness.trust(vkey)
  const stranger = await startWitness()
  stranger.trust(vkey)
  const { key } = { key: parseVkey(stranger.vkey) }
  const asked = cosign({ url: witness.url, key }, noteOf(5), { from: 0, proofFrom: proofTo(5) })
  await expect(asked).rejects.toThrow('the witness has not signed')
  const wrong = await startServer(() => ({
    status: 200,
    body: `— ${key.name} ${Buffer.concat([Buffer.from(key.id, 'hex'), Buffer.alloc(72, 1)]).toString('base64')}\n`,
  }))
  const forged = cosign({ url: wrong.url, key }, noteOf(5), { from: 0, proofFrom: proofTo(5) })
  await expect(forged).rejects.toMatchObject({ code: 'note_invalid' })
})
