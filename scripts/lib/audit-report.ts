interface Advisory {
  readonly severity?: string
  readonly title?: string
  readonly url?: string
}

/** What `npm audit --json` prints: what it found, or why it could not ask. */
export interface Report {
  readonly vulnerabilities?: Readonly<Record<string, { readonly via?: readonly (string | Advisory)[] }>>
  readonly message?: string
}

/** One line for each weakness of a package itself; those that merely use such a package are not named. */
export function known({ vulnerabilities = {} }: Report): string[] {
  return Object.entries(vulnerabilities).flatMap(([name, { via = [] }]) =>
    via
      .filter(cause => typeof cause !== 'string')
      .map(({ severity, title, url }) => `${name} (${severity}): ${title} ${url}`),
  )
}
