import { registerHooks } from 'node:module'
import { breakModules, isBreak } from './breaks.ts'

/**
 * Preloaded by the gateway's process, and by its threads: whoever imports the module that a break replaces gets the
 * replacement, which alone gets the original.
 */
const name = new URL(import.meta.url).search.slice(1)
if (!isBreak(name)) throw new Error(`there is no break called ${name}`)
const { original, replacement } = breakModules(name)

registerHooks({
  resolve(specifier, context, nextResolve) {
    const resolved = nextResolve(specifier, context)
    return resolved.url === original && context.parentURL !== replacement
      ? { ...resolved, url: replacement }
      : resolved
  },
})
