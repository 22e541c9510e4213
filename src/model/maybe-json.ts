/** The value of a JSON text, undefined when it is none. The parser's own error would quote the text. */
export function maybeJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
