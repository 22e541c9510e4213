import { readFile } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { SteleError } from '../errors.ts'
import { readObject } from '../model/json-body.ts'
import type { JsonObject } from '../model/json-object.ts'

/** A JSON object from a file, or from stdin where that is `-`. @throws SteleError source_unreadable, invalid_json and its kind */
export async function readJsonFile(path: string): Promise<JsonObject> {
  return readObject(path === '-' ? await text(process.stdin) : await read(path)).value
}

async function read(path: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? 'unknown'
    throw new SteleError('source_unreadable', { source: path, reason }, { cause })
  }
}
