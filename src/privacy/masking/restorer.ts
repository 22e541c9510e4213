import { isFields } from '../../model/reply.ts'
import { type Edit, eachString, edited, escaped, unquoted } from './json-strings.ts'
import type { Placeholders } from './placeholders.ts'

/** How the values stand in a text: as they are, or inside the strings of a JSON text that a text may be itself. */
export type Spelling = 'plain' | 'json' | 'json-if-object'

/** Characters of a placeholder at most. */
const longestName = 64

/** Where a placeholder that begins here ends; -1 when that is not there, or not near enough. */
function closeOf(text: string, open: number): number {
  const end = Math.min(text.length, open + longestName)
  for (let at = open + 1; at < end; at++) if (text.charCodeAt(at) === 93) return at
  return -1
}

/** Puts values back into a text that comes in pieces. Holds back only what may still become a placeholder. */
export class TextRestorer {
  readonly #placeholders: Placeholders
  #spelling: Spelling
  #held = ''

  constructor(placeholders: Placeholders, spelling: Spelling) {
    this.#placeholders = placeholders
    this.#spelling = spelling
  }

  /** What can be told once this piece is there. */
  push(piece: string): string {
    if (this.#spelling === 'json-if-object' && /\S/.test(piece))
      this.#spelling = piece.trimStart().startsWith('{') ? 'json' : 'plain'
    const text = this.#held + piece
    let told = ''
    let at = 0
    for (let open = text.indexOf('['); open !== -1; open = text.indexOf('[', at)) {
      told += text.slice(at, open)
      const close = closeOf(text, open)
      const value = close === -1 ? undefined : this.#placeholders.valueOf(text.slice(open, close + 1))
      if (value !== undefined) {
        told += this.#spelling === 'json' ? escaped(value) : value
        at = close + 1
      } else if (close === -1 && this.#placeholders.isBeginning(text.slice(open, open + longestName))) {
        this.#held = text.slice(open)
        return told
      } else {
        told += '['
        at = open + 1
      }
    }
    this.#held = ''
    return told + text.slice(at)
  }

  /** What was held back, when nothing more comes. */
  end(): string {
    const rest = this.#held
    this.#held = ''
    return rest
  }
}

export interface RestoreOptions {
  /** What is said is asked for as JSON: values in it are spelled so that it stays that. */
  readonly saysJson: boolean
}

/** Puts the values back into a whole text. */
export function restoredText(text: string, placeholders: Placeholders, spelling: Spelling = 'plain'): string {
  if (!text.includes('[')) return text
  const restorer = new TextRestorer(placeholders, spelling)
  return restorer.push(text) + restorer.end()
}

/** Puts the values back into the strings of a JSON text; the rest of it stays as it was written. */
export function restoredJson(text: string, placeholders: Placeholders, options: RestoreOptions): string {
  if (placeholders.size === 0) return text
  const edits: Edit[] = []
  let hasLogprobs = false
  eachString(text, ({ start, end, path }) => {
    const quoted = text.slice(start, end)
    if (!quoted.includes('[') && !quoted.includes('\\')) return
    const value = unquoted(quoted)
    const restored = restoredText(value, placeholders, spellingOf(path.at(-1) ?? '', options))
    if (restored === value) return
    hasLogprobs ||= path.includes('logprobs')
    edits.push({ start, end, text: JSON.stringify(restored) })
  })
  const restored = edited(text, edits)
  if (!hasLogprobs) return restored
  const value: unknown = JSON.parse(restored)
  restoreBytes(value, placeholders)
  return JSON.stringify(value)
}

/** How values stand in a member of this name. */
export function spellingOf(name: string, { saysJson }: RestoreOptions): Spelling {
  if (name === 'arguments') return 'json'
  return saysJson && (name === 'content' || name === 'text' || name === 'delta') ? 'json-if-object' : 'plain'
}

/**
 * Puts the values back into the strings of a value, in place: of tokens where one is a whole placeholder; one that is spread
 * over several tokens stays. True when there was any.
 */
export function restoreStrings(value: unknown, placeholders: Placeholders): boolean {
  if (value === null || typeof value !== 'object') return false
  const holder = value as Record<string, unknown>
  let isChanged = false
  for (const [name, one] of Object.entries(holder)) {
    const restored = typeof one === 'string' ? restoredText(one, placeholders) : one
    if (restored !== one) holder[name] = restored
    isChanged = restored !== one || restoreStrings(one, placeholders) || isChanged
  }
  if (!Array.isArray(value)) restoreBytes(value, placeholders)
  return isChanged
}

/** The same for the bytes of such tokens. */
function restoreBytes(value: unknown, placeholders: Placeholders): void {
  if (Array.isArray(value)) for (const one of value) restoreBytes(one, placeholders)
  if (!isFields(value)) return
  const fields = value as Record<string, unknown>
  const { bytes } = fields
  for (const [name, one] of Object.entries(fields)) if (name !== 'bytes') restoreBytes(one, placeholders)
  if (typeof fields['token'] !== 'string' || !Array.isArray(bytes)) return
  const said = Buffer.from(bytes as number[]).toString('utf8')
  const restored = restoredText(said, placeholders)
  if (restored !== said) fields['bytes'] = [...Buffer.from(restored)]
}
