import mustache from 'mustache'
import { reasonOf } from '../errors.ts'
import { invalidType } from './definition.ts'

type Context = InstanceType<typeof mustache.Context>

/** Puts an input into a template. @throws SteleError document_type_invalid */
export type Template = (input: unknown) => string

/**
 * Reads a Mustache template. Nothing is escaped: what is made is no HTML. Lists and objects stand as JSON. What an input
 * says is never read as a template, whatever is in it, and only its own members are found.
 * @throws SteleError document_type_invalid
 */
export function compileTemplate(name: string, text: string): Template {
  const writer = new PlainWriter()
  const inWords = <T>(work: () => T): T => {
    try {
      return work()
    } catch (error) {
      throw invalidType(`${name}: ${reasonOf(error)}`, name)
    }
  }
  if (hasPartial(inWords(() => writer.parse(text))))
    throw invalidType(`${name}: there are no other templates to be named`, name)
  return input => inWords(() => writer.render(text, ownMembers(input)))
}

/** Writes values as they are, in double braces and in triple ones. */
class PlainWriter extends mustache.Writer {
  override escapedValue([, name = '']: string[], context: Context): string {
    return said(context.lookup(name))
  }

  override unescapedValue([, name = '']: string[], context: Context): string {
    return said(context.lookup(name))
  }
}

type Token = readonly unknown[]

function hasPartial(tokens: readonly Token[]): boolean {
  return tokens.some(([symbol, , , , inner]) => symbol === '>' || (Array.isArray(inner) && hasPartial(inner)))
}

function said(value: unknown): string {
  if (value === undefined || value === null) return ''
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

/** The same value, whose objects have no members that they were not given. No deeper than JSON is read. */
function ownMembers(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(ownMembers)
  if (typeof value !== 'object' || value === null) return value
  const bare: Record<string, unknown> = Object.create(null)
  for (const [name, member] of Object.entries(value)) bare[name] = ownMembers(member)
  return bare
}
