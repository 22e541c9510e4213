import { existsSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { fileURLToPath } from 'node:url'
import { isMainThread } from 'node:worker_threads'

/**
 * Preloaded by the processes of the tests and by their threads: a thread starts from the packed program, which takes a
 * third of the time. The tests themselves import the sources.
 */
const root = new URL('../../', import.meta.url).href
const program = process.env['STELE_TEST_PROGRAM']

if (!isMainThread && program !== undefined) {
  const hooks = registerHooks({
    resolve(specifier, context, nextResolve) {
      const resolved = nextResolve(specifier, context)
      if (!resolved.url.startsWith(`${root}src/`) || !resolved.url.endsWith('-thread.ts')) return resolved
      hooks.deregister()
      const url = `${program}/${resolved.url.slice(root.length).replace(/\.ts$/, '.js')}`
      return existsSync(fileURLToPath(url)) ? { ...resolved, url, format: 'module' } : resolved
    },
  })
}
