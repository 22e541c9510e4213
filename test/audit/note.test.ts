import { createPrivateKey, createPublicKey, generateKeyPairSync, sign } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  checkpointText,
  openCheckpoint,
  parseCheckpoint,
  readCheckpoint,
} from '../../src/audit/checkpoint.ts'
import { sha256 } from '../../src/audit/digest.ts'
import { openNote, parseNote, signNote } from '../../src/audit/note.ts'
import { formatVkey, isKeyName, keyIdOf, noteAlgorithms, parseVkey } from '../../src/audit/note-keys.ts'
import { errorOf } from '../harness/errors.ts'

/** The key and the note of the documentation of Go's golang.org/x/mod/sumdb/note. */
const peter = {
  vkey: 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW',
  /** What follows the algorithm in its private key AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz. */
  seed: Buffer.from('AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz', 'base64').subarray(1),
  text: "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n",
  signature:
    '— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n',
}
const peterNote = `${peter.text}\n${peter.signature}`

/** An Ed25519 key of 32 bytes as PKCS #8 has it. */
function privateKeyOf(seed: Uint8Array) {
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed])
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
}

const peterSigner = { name: 'PeterNeumann', privateKey: privateKeyOf(peter.seed) }
const newSigner = (name: string) => ({ name, ...generateKeyPairSync('ed25519') })

test('the known note is made and opened', () => {
  const key = parseVkey(peter.vkey)
  expect(key).toMatchObject({ name: 'PeterNeumann', id: 'c74f20a3', algorithm: 1 })
  expect(formatVkey('PeterNeumann', key.publicKey)).toBe(peter.vkey)
  expect(formatVkey('PeterNeumann', createPublicKey(peterSigner.privateKey))).toBe(peter.vkey)
  expect(openNote(peterNote, [key])).toEqual({ text: peter.text, signedBy: [key] })
  // Ed25519 signs the same in the same way each time.
  expect(signNote(peter.text, [peterSigner])).toBe(peterNote)
})

test('a key that is cut, bent or of another kind is refused', () => {
  const { vkey } = peter
  for (let start = 0; start < vkey.length; start++)
    for (let end = start; end <= vkey.length; end += start === 0 ? 1 : 7)
      if (end - start < vkey.length) expect(() => parseVkey(vkey.slice(start, end))).toThrow(/not valid/)
  for (let at = 0; at < vkey.length; at++) {
    const bent = vkey.slice(0, at) + String.fromCharCode(vkey.charCodeAt(at) + 1) + vkey.slice(at + 1)
    expect(() => parseVkey(bent), bent).toThrow(/not valid/)
  }
  // Too long, and of an unknown algorithm, both with the id that goes with it.
  expect(() =>
    parseVkey('PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY=='),
  ).toThrow(/not valid/)
  expect(() => parseVkey('PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW')).toThrow(
    /no Ed25519 key/,
  )
  expect(errorOf(() => parseVkey(''))).toBe('vkey_invalid')
  expect(() => formatVkey('rsa', generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey)).toThrow(
    RangeError,
  )
})

test('names of keys hold no space and no plus', () => {
  for (const name of ['stele/01h455', 'example.com/log42', 'é']) expect(isKeyName(name), name).toBe(true)
  for (const name of ['', 'a b', 'a+b', 'a\nb', 'a\u00a0b', 'a\u0000b', '\ud800'])
    expect(isKeyName(name), name).toBe(false)
})

test('notes in any other form are refused', () => {
  const key = parseVkey(peter.vkey)
  const { text, signature } = peter
  const wrong = [
    '',
    '\n',
    text,
    signature,
    `\n${signature}`,
    `${text}${signature}`,
    `${text}\n`,
    `${text}\n${signature.trimEnd()}`,
    `${text}\n${signature}\n`,
    `${text}\n${signature}${signature.replace('— ', '- ')}`,
    `${text}\n${signature.replace('— ', '—')}`,
    `${text}\n${signature.replace('x08', 'x0')}`,
    `${text}\n${signature.replace('=\n', '\n')}`,
    `${text}\n— PeterNeumann x08g\n`,
    `${text}\n${signature.replace('Peter', 'Peter ')}`,
    `${text.replace('problem', '\tproblem')}\n${signature}`,
    `${text.replace('problem', '\u0000')}\n${signature}`,
    `${text}\n${signature.repeat(101)}`,
  ]
  for (const note of wrong)
    expect(
      errorOf(() => openNote(note, [key])),
      JSON.stringify(note),
    ).toBe('note_invalid')
  // An empty line within the text is part of it: the last one ends it.
  expect(parseNote(`a\n\nb\n\n${signature}`).text).toBe('a\n\nb\n')
})

test('signatures of strangers are left aside, a wrong one of a known key is not', () => {
  const [own, stranger] = [newSigner('own'), newSigner('stranger')]
  const keys = [parseVkey(formatVkey('own', own.publicKey))]
  const note = signNote('text\n', [stranger, own])
  expect(openNote(note, keys).signedBy).toEqual(keys)
  expect(errorOf(() => openNote(signNote('text\n', [stranger]), keys))).toBe('note_invalid')
  expect(errorOf(() => openNote(note.replace('text', 'Text'), keys))).toBe('note_invalid')
  expect(errorOf(() => openNote(note, []))).toBe('note_invalid')
  // Another key of the same name is another key.
  expect(errorOf(() => openNote(signNote('text\n', [newSigner('own')]), keys))).toBe('note_invalid')
  // One right signature does not make up for a wrong one of another known key.
  const both = [...keys, parseVkey(formatVkey('stranger', stranger.publicKey))]
  const [, right = '', ours = ''] = note.split(/(?=— )/)
  const bent = Buffer.from(right.split(' ')[2] ?? '', 'base64')
  bent[20] = (bent[20] ?? 0) ^ 1
  const wrong = `text\n\n— stranger ${bent.toString('base64')}\n${ours}`
  expect(errorOf(() => openNote(wrong, both))).toBe('note_invalid')
  expect(openNote(wrong, keys).signedBy).toEqual(keys)
})

test('any change of a signed text is found', () => {
  const signer = newSigner('stele/log')
  const keys = [parseVkey(formatVkey(signer.name, signer.publicKey))]
  const note = signNote(checkpointText({ origin: signer.name, size: 17, root: sha256('root') }), [signer])
  const bytes = Buffer.from(note)
  fc.assert(
    fc.property(fc.nat(bytes.byteLength - 1), fc.nat(7), (at, bit) => {
      const bent = Buffer.from(bytes)
      bent[at] = (bent[at] ?? 0) ^ (1 << bit)
      expect(() => openNote(bent.toString(), keys)).toThrow()
    }),
    { numRuns: 500 },
  )
})

test('the cosignature of a witness is verified', () => {
  const [log, witness] = [newSigner('example.com/log'), newSigner('witness.example.com/w1')]
  const text = checkpointText({ origin: log.name, size: 3, root: sha256('root') })
  const stamp = (seconds: number, signedSeconds = seconds): string => {
    const time = Buffer.alloc(8)
    time.writeBigUInt64BE(BigInt(seconds))
    const message = `cosignature/v1\ntime ${signedSeconds}\n${text}`
    const id = keyIdOf(witness.name, witness.publicKey, noteAlgorithms.cosignature)
    const parts = [Buffer.from(id, 'hex'), time, sign(null, Buffer.from(message), witness.privateKey)]
    return `— ${witness.name} ${Buffer.concat(parts).toString('base64')}\n`
  }
  const keys = [
    parseVkey(formatVkey(log.name, log.publicKey)),
    parseVkey(formatVkey(witness.name, witness.publicKey, noteAlgorithms.cosignature)),
  ]
  const note = signNote(text, [log])
  expect(openCheckpoint(note + stamp(1_679_315_147), keys).signedBy).toHaveLength(2)
  expect(errorOf(() => openCheckpoint(note + stamp(1_679_315_147, 1), keys))).toBe('note_invalid')
  // A witness alone does not speak for the log.
  expect(errorOf(() => openCheckpoint(`${text}\n${stamp(5)}`, keys))).toBe('checkpoint_invalid')
})

test('a checkpoint is three lines', () => {
  // The example of the specification.
  const text = 'example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n'
  const checkpoint = parseCheckpoint(text)
  expect(checkpoint).toMatchObject({ origin: 'example.com/behind-the-sofa', size: 20_852_163 })
  expect(checkpointText(checkpoint)).toBe(text)
  expect(parseCheckpoint(`${text}an extension\n`)).toEqual(checkpoint)
  expect(readCheckpoint(`${text}\n${peter.signature}`)).toEqual(checkpoint)
  const wrong = [
    '',
    text.trimEnd(),
    text.slice(text.indexOf('\n')),
    text.replace('20852163', '020852163'),
    text.replace('20852163', '-1'),
    text.replace('20852163', '1e3'),
    text.replace('20852163', '9007199254740993'),
    text.replace('CsUY', 'CsU'),
    text.replace('q2I=', 'q2J='),
    `${text}\n`,
    `${text}\nmore\n`,
  ]
  for (const other of wrong)
    expect(
      errorOf(() => parseCheckpoint(other)),
      JSON.stringify(other),
    ).toBe('checkpoint_invalid')
})
