interface LockedPackage {
  readonly integrity?: string
  /** Where its bytes are fetched; left out for those of the registry, whatever that is. */
  readonly resolved?: string
  readonly hasInstallScript?: boolean
  readonly link?: boolean
}

/** The packages of a package-lock.json by their paths, the project itself left out. */
function packagesOf(lockFile: unknown): [path: string, locked: LockedPackage][] {
  const { packages } = lockFile as { packages: Readonly<Record<string, LockedPackage>> }
  return Object.entries(packages).filter(([path]) => path !== '')
}

const nameOf = (path: string): string => path.replace(/^.*node_modules\//, '')

/** Packages whose bytes nothing vouches for. */
export function unverified(lockFile: unknown): string[] {
  return packagesOf(lockFile)
    .filter(([, { integrity, link }]) => link !== true && integrity?.startsWith('sha512-') !== true)
    .map(([path]) => nameOf(path))
}

const registry = 'https://registry.npmjs.org/'

/** Packages that are fetched from some other place: a checksum beside it vouches for nothing. */
export function fromElsewhere(lockFile: unknown): string[] {
  return packagesOf(lockFile)
    .filter(([, { resolved = registry, link }]) => link !== true && !resolved.startsWith(registry))
    .map(([path]) => nameOf(path))
}

/** Packages that run a script when they are installed, of which package.json says neither that they may nor that they may not. */
export function undecidedScripts(lockFile: unknown, packageFile: unknown): string[] {
  const { allowScripts = {} } = packageFile as { allowScripts?: Readonly<Record<string, boolean>> }
  return packagesOf(lockFile)
    .filter(
      ([path, { hasInstallScript }]) =>
        hasInstallScript === true && !Object.hasOwn(allowScripts, nameOf(path)),
    )
    .map(([path]) => nameOf(path))
}
