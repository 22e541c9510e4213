import { closeSync, openSync, readSync } from 'node:fs'

/**
 * Reads a write-ahead log as https://sqlite.org/fileformat2.html#the_write_ahead_log describes it. SQLite takes the
 * first frame whose checksum is wrong for the end of the log, which is right after a crash (a commit that was under way
 * is torn) and wrong when the log was damaged: commits behind that place would be dropped without a word.
 */

const headerBytes = 32
const frameHeaderBytes = 24
const magic = 0x377f0682

type Sums = readonly [number, number]

interface Log {
  readonly header: Buffer
  readonly pageBytes: number
  readonly isLittleEndian: boolean
}

/** What is wrong with the log at `path`, in words; undefined when nothing is, or when there is none. */
export function logDamage(path: string): string | undefined {
  let file: number
  try {
    file = openSync(path, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  try {
    const header = Buffer.alloc(headerBytes)
    // Of a log that ends within its header, or was never written, nothing was ever committed.
    if (readSync(file, header, 0, headerBytes, 0) < headerBytes || header.every(byte => byte === 0))
      return undefined
    const log = readHeader(header)
    if (log === undefined) return 'its write-ahead log does not begin as one'
    const lost = lostCommits(file, log)
    return lost === 0
      ? undefined
      : `its write-ahead log is damaged in the middle, with ${lost} commits after that place`
  } finally {
    closeSync(file)
  }
}

function readHeader(header: Buffer): Log | undefined {
  const found = header.readUInt32BE(0)
  const isLittleEndian = found === magic
  if (!isLittleEndian && found !== magic + 1) return undefined
  const [first, second] = sumsOf(header.subarray(0, 24), [0, 0], isLittleEndian)
  if (first !== header.readUInt32BE(24) || second !== header.readUInt32BE(28)) return undefined
  return { header, pageBytes: header.readUInt32BE(8), isLittleEndian }
}

/**
 * How many commits stand behind a damaged place. Behind the torn end of a log there may be remains of commits that
 * failed, but each of those was overwritten from its first frame on: no unbroken run of remains holds two commits.
 */
function lostCommits(file: number, { header, pageBytes, isLittleEndian }: Log): number {
  const frame = Buffer.alloc(frameHeaderBytes + pageBytes)
  const salts = header.subarray(16, 24)
  let sums: Sums = [header.readUInt32BE(24), header.readUInt32BE(28)]
  let isWhole = true
  let run = 0
  let longest = 0
  for (
    let at = headerBytes;
    readSync(file, frame, 0, frame.byteLength, at) === frame.byteLength;
    at += frame.byteLength
  ) {
    const isOfThisLog = frame.subarray(8, 16).equals(salts)
    const expected = isOfThisLog
      ? sumsOf(
          frame.subarray(frameHeaderBytes),
          sumsOf(frame.subarray(0, 8), sums, isLittleEndian),
          isLittleEndian,
        )
      : undefined
    sums = [frame.readUInt32BE(16), frame.readUInt32BE(20)]
    const follows = expected !== undefined && expected[0] === sums[0] && expected[1] === sums[1]
    if (!follows) {
      isWhole = false
      run = 0
    }
    const isCommit = isOfThisLog && frame.readUInt32BE(4) !== 0
    if (!isWhole && isCommit) longest = Math.max(longest, ++run)
  }
  return longest > 1 ? longest : 0
}

function sumsOf(bytes: Buffer, [first, second]: Sums, isLittleEndian: boolean): Sums {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let [a, b] = [first, second]
  for (let at = 0; at < bytes.byteLength; at += 8) {
    a = (a + view.getUint32(at, isLittleEndian) + b) >>> 0
    b = (b + view.getUint32(at + 4, isLittleEndian) + a) >>> 0
  }
  return [a, b]
}
