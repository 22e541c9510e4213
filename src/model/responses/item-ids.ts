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

/** The id of the response of which an item with this id would be; undefined of ids that were not made so. */
export function responseOfItem(id: string): string | undefined {
  const suffix = /^[a-z]+_([0-9a-z]{26})i?\d{1,6}$/.exec(id)?.[1]
  return suffix === undefined ? undefined : `resp_${suffix}`
}
