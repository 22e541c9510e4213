import { maxDepth, nestsWithin } from './json-shape.ts'

/**
 * The value of a JSON text, undefined when it is none, or nests deeper than code that walks it can follow. The parser's
 * own error would quote the text.
 */
export function maybeJson(text: string): unknown {
  if (!nestsWithin(text, maxDepth)) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
