import { readFileSync } from 'node:fs'

/** The folder of the package: both src/cli and dist/cli lie two levels below it. */
export const packageRoot = new URL('../../', import.meta.url)

export function packageVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL('package.json', packageRoot), 'utf8')) as {
    version: string
  }
  return version
}
