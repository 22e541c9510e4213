/**
 * Ids of a response's items are made of its own id and their places, never drawn: the same record, read again, gives the
 * same items.
 * @param responseId resp_…
 * @returns what makes an id of a prefix such as `msg`
 */
export function itemId(
  responseId: string,
  side: 'input' | 'output',
  index: number,
): (prefix: string) => string {
  const suffix = responseId.slice(responseId.indexOf('_') + 1)
  const place = side === 'input' ? `i${index}` : `${index}`
  return prefix => `${prefix}_${suffix}${place}`
}
