import { randomBytes } from 'node:crypto'

/**
 * What a marker stands for, which decides where it may be found: content under each of the modes, content that is not to be
 * kept, names that are plain on purpose, names of models, which logs have too, secrets, and ids that are asked for, which a
 * database is told and nobody keeps.
 */
const kinds = {
  encrypted: 'e',
  hashed: 'h',
  plain: 'p',
  unkept: 'u',
  label: 'l',
  model: 'm',
  secret: 'k',
  asked: 'a',
} as const

export type Kind = keyof typeof kinds

const kindOfLetter = new Map(Object.entries(kinds).map(([kind, letter]) => [letter as string, kind as Kind]))

const numberLength = 3

/** A marker that was found, as far as what was found tells. */
export interface Found {
  readonly kind: Kind | 'unknown'
  /** Where it was said. */
  readonly said: string
  /** Whether everything around it says the same, as nothing does that was cut or half compressed. */
  readonly isSure: boolean
}

/**
 * Makes markers and knows them again. All of a run have one stem in common, so that searching costs the same however
 * many there are. A marker has the stem twice: wherever it is cut short, as by a parser that quotes what it does not understand, a
 * piece of 20 characters has a whole one. Letters and digits alone: no form of escaping hides them.
 */
export class Markers {
  readonly stem = `z${randomBytes(8).readBigUInt64BE().toString(36).padStart(13, '0').slice(-7)}`
  readonly #said: string[] = []

  make(kind: Kind, where: string): string {
    const number = this.#said.push(where) - 1
    const name = kinds[kind] + number.toString(36).padStart(numberLength, '0')
    return name + this.stem + name + this.stem + name
  }

  /** As a person may write it: between everything that formats and databases take for something else. */
  text(kind: Kind, where: string): string {
    const marker = this.make(kind, where)
    return `"${marker}"\n\\ '${marker}' ${marker}== é 漢字 \u2028 \u0001 <${marker}> %25 $1 🜏`
  }

  /** So long and so repetitive that everybody who compresses anything does so. */
  long(kind: Kind, where: string, length = 8_500): string {
    const text = this.text(kind, where)
    return Array.from(
      { length: Math.ceil(length / text.length) },
      (_, at) => `${at}. ${text} and so on. `,
    ).join('')
  }

  /** What stands before or behind a stem. */
  read(before: string, behind: string): Found {
    const names = [behind.slice(0, 1 + numberLength), before.slice(-1 - numberLength)]
    const isSure = new Set(names.filter(name => name.length === 1 + numberLength)).size === 1
    for (const name of names) {
      const kind = kindOfLetter.get(name.slice(0, 1))
      const said = this.#said[Number.parseInt(name.slice(1), 36)]
      if (kind !== undefined && name.length === 1 + numberLength && said !== undefined)
        return { kind, said, isSure }
    }
    return { kind: 'unknown', said: `${before}…${behind}`, isSure: false }
  }

  /** The kind of what is said in a text, whatever the models and other names in it. */
  kindIn(text: string): Kind | undefined {
    const pieces = text.split(this.stem)
    for (const [index, before] of pieces.slice(0, -1).entries()) {
      const { kind } = this.read(before.slice(-8), (pieces[index + 1] ?? '').slice(0, 8))
      if (kind !== 'unknown' && kind !== 'label' && kind !== 'model') return kind
    }
    return undefined
  }
}
