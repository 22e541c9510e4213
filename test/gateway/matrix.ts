import type { Gateway } from '../../src/gateway/app.ts'
import type { Permission, Role } from '../../src/model/permissions.ts'
import { permissionsOfRole, reachOf, roles } from '../../src/model/permissions.ts'

/** Whoever may come: with nothing at all, or as what. */
export const callers = ['nobody', ...roles] as const

export type Caller = (typeof callers)[number]

/** What somebody may do on a route: nothing, what is theirs, that of others by a grant, that of anybody, all there is. */
export type Cell = '–' | 'own' | 'own, others by grant' | 'anybody' | 'yes'

export function cellOf(caller: Caller, permission: Permission): Cell {
  const all = permissionsOfRole(caller === 'nobody' ? undefined : (caller satisfies Role))
  if (!all.has(permission)) return '–'
  const any = reachOf(permission)
  if (any === undefined) return 'yes'
  if (all.has(any)) return 'anybody'
  return any === 'content:any_user' && all.has('grants:write') ? 'own, others by grant' : 'own'
}

/** Every route with its permission, in order of the routes. Fastify answers HEAD as GET, without the body. */
export function routesWithPermissions({ permissions }: Gateway): [route: string, permission: Permission][] {
  return [...permissions]
    .filter(([route]) => !route.startsWith('HEAD '))
    .sort(([a], [b]) => (pathOf(a) < pathOf(b) ? -1 : 1))
}

function pathOf(route: string): string {
  const [method, path] = route.split(' ')
  return `${path} ${method}`
}

/** The table of docs/access.md. */
export function matrixLines(gateway: Gateway): string[] {
  const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [
    row(['route', 'permission', ...callers]),
    row(['---', '---', ...callers.map(() => '---')]),
    ...routesWithPermissions(gateway).map(([route, permission]) =>
      row([`\`${route}\``, `\`${permission}\``, ...callers.map(caller => cellOf(caller, permission))]),
    ),
  ]
}
