import { isFields } from './reply.ts'

/** Where two JSON values differ: a JSON pointer, and what stands there in each; left out where nothing does. */
export interface JsonDifference {
  readonly path: string
  readonly before?: unknown
  readonly after?: unknown
}

/** The places in which two JSON values differ, in the order of the first. Lists are compared place by place. */
export function jsonDiff(before: unknown, after: unknown, path = ''): JsonDifference[] {
  if (Array.isArray(before) && Array.isArray(after))
    return Array.from({ length: Math.max(before.length, after.length) }, (_, index) => {
      const place = `${path}/${index}`
      if (index >= before.length) return [{ path: place, after: after[index] as unknown }]
      if (index >= after.length) return [{ path: place, before: before[index] as unknown }]
      return jsonDiff(before[index], after[index], place)
    }).flat()
  if (isFields(before) && isFields(after))
    return [...new Set([...Object.keys(before), ...Object.keys(after)])].flatMap(name => {
      const place = `${path}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`
      if (!Object.hasOwn(before, name)) return [{ path: place, after: after[name] }]
      if (!Object.hasOwn(after, name)) return [{ path: place, before: before[name] }]
      return jsonDiff(before[name], after[name], place)
    })
  return Object.is(before, after) ? [] : [{ path, before, after }]
}
