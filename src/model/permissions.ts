/**
 * Who may do what, in one table. A user has a role; a key has scopes, which are roles or single permissions and can only
 * narrow what its user's role allows. Every route names the permission that it needs.
 */

export const permissions = [
  /** Needs no key. */
  'public',
  /** One's own login: who one is, logging out, changing the password. */
  'account',
  'models:read',
  /** Asking a provider, and recording it. */
  'calls:make',
  /** What is stored of what was said: conversations, messages, items, sessions, responses, stored completions, search. */
  'content:read',
  'content:write',
  /** What document types there are is read with `models:read`; registering one takes this. */
  'types:write',
  /** API keys without their secrets. */
  'keys:read',
  'keys:write',
  /** Sums of calls, tokens and costs. */
  'usage:read',
  'users:read',
  'users:write',
  /** Having everything that is kept of oneself erased, for good. */
  'erasure:write',
  'audit:read',
  /** Putting on record what happened in an application, whomever it concerns. */
  'audit:write',
  /** What users, keys and models may take, and how much of it is used. */
  'limits:read',
  'limits:write',
  /** Break-glass grants. */
  'grants:read',
  'grants:write',
  /** The same for other users than one's own. */
  'calls:any_user',
  'content:any_user',
  'keys:any_user',
  'usage:any_user',
  'erasure:any_user',
] as const

export type Permission = (typeof permissions)[number]

/** From the least to the most. */
export const roles = ['member', 'auditor', 'service', 'admin'] as const

export type Role = (typeof roles)[number]

/** What a key may be narrowed to. */
export type Scope = Role | Exclude<Permission, 'public'>

const ofEverybody = ['public', 'account', 'models:read', 'keys:read', 'usage:read', 'erasure:write'] as const
const ofMembers = [...ofEverybody, 'calls:make', 'content:read', 'content:write', 'keys:write'] as const

const rolePermissions: Readonly<Record<Role, ReadonlySet<Permission>>> = {
  /** A person or an application, with what is its own. */
  member: new Set(ofMembers),
  /** Looks at what happened and what it cost, of all; neither reads what was said nor changes anything. */
  auditor: new Set([
    ...ofEverybody,
    'users:read',
    'audit:read',
    'limits:read',
    'grants:read',
    'keys:any_user',
    'usage:any_user',
  ] as const),
  /** An application that acts for its end users. */
  service: new Set([
    ...ofMembers,
    'calls:any_user',
    'content:any_user',
    'usage:any_user',
    'erasure:any_user',
    'audit:write',
  ] as const),
  /** Runs the place. Reads what is stored of others only with a break-glass grant. */
  admin: new Set([
    ...ofMembers,
    'types:write',
    'users:read',
    'users:write',
    'audit:read',
    'audit:write',
    'limits:read',
    'limits:write',
    'grants:read',
    'grants:write',
    'calls:any_user',
    'keys:any_user',
    'usage:any_user',
    'erasure:any_user',
  ] as const),
}

const nothing: ReadonlySet<Permission> = new Set(['public'])

/** What a role allows; whoever has none only what needs no key. */
export function permissionsOfRole(role: Role | undefined): ReadonlySet<Permission> {
  return role === undefined ? nothing : rolePermissions[role]
}

/** Whoever makes keys says which scopes: the answers kept must not grow without end. */
const mostNarrowed = 1_000

const narrowed = new Map<string, ReadonlySet<Permission>>()

/**
 * What a key of these scopes may do for a user of this role. The same question gets the same set. A service key of an
 * administrator is a service: whoever sets up the place may hold one.
 */
export function permissionsOf(role: Role, scopes: readonly Scope[]): ReadonlySet<Permission> {
  const name = `${role} ${[...new Set(scopes)].sort().join(' ')}`
  const known = narrowed.get(name)
  if (known !== undefined) return known
  const given = new Set<Permission>(
    scopes.flatMap((scope): readonly Permission[] => (isRole(scope) ? [...rolePermissions[scope]] : [scope])),
  )
  const isService = role === 'admin' && scopes.includes('service') && !scopes.includes('admin')
  const allowed = rolePermissions[isService ? 'service' : role]
  const both = new Set([...allowed].filter(one => one === 'public' || given.has(one)))
  if (narrowed.size >= mostNarrowed) narrowed.clear()
  narrowed.set(name, both)
  return both
}

/** What there is of another user's that a key without a right to it may not reach even while it may reach its own. */
const reaches: readonly (readonly [start: string, any: Permission])[] = [
  ['calls:', 'calls:any_user'],
  ['content:', 'content:any_user'],
  ['keys:', 'keys:any_user'],
  ['usage:', 'usage:any_user'],
  ['erasure:', 'erasure:any_user'],
]

/** The permission to do on behalf of any user what `permission` allows for oneself; undefined when there is none. */
export function reachOf(permission: Permission): Permission | undefined {
  return reaches.find(([start]) => permission.startsWith(start))?.[1]
}

/**
 * What a key that somebody else has seen the secret of may not: read, come by a key that nobody else has seen, or do what
 * stays on record as the doing of its user.
 */
const notShared: ReadonlySet<Permission> = new Set([
  'content:read',
  'content:write',
  'content:any_user',
  'keys:write',
  'users:write',
  'grants:write',
  'erasure:write',
  'erasure:any_user',
  'audit:write',
])

/** What is left of the permissions of such a key. */
export function shareable(all: Iterable<Permission>): ReadonlySet<Permission> {
  return new Set([...all].filter(one => !notShared.has(one)))
}

/** Whether whoever may do this may give others a role or a key with these permissions: what any member may, or it may itself. */
export function mayGive(own: ReadonlySet<Permission>, given: Iterable<Permission>): boolean {
  return [...given].every(one => own.has(one) || rolePermissions.member.has(one))
}

export function isRole(word: string): word is Role {
  return (roles as readonly string[]).includes(word)
}

export function isScope(word: string): word is Scope {
  return isRole(word) || (word !== 'public' && (permissions as readonly string[]).includes(word))
}

/** The role of a user as it is on record. What is no role here gives the rights of a member. */
export function roleOf(word: string | null | undefined): Role {
  return word != null && isRole(word) ? word : 'member'
}

/** The role that a scope asks for, where it is one that a member does not have. */
export function roleNeededFor(scopes: readonly Scope[]): Role | undefined {
  return roles.toReversed().find(role => role !== 'member' && scopes.includes(role))
}
