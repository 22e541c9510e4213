import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { fromElsewhere, undecidedScripts, unverified } from '../../scripts/lib/lock-file.ts'

const json = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8')) as unknown

test('every package has a checksum, and none runs a script that nobody decided on', () => {
  expect(unverified(json('package-lock.json'))).toEqual([])
  expect(fromElsewhere(json('package-lock.json'))).toEqual([])
  expect(undecidedScripts(json('package-lock.json'), json('package.json'))).toEqual([])
})

test('a package without a strong checksum, from elsewhere or with a new script is found', () => {
  const lockFile = {
    packages: {
      '': { hasInstallScript: true },
      'node_modules/good': { integrity: 'sha512-x', hasInstallScript: true },
      'node_modules/weak': { integrity: 'sha1-x' },
      'node_modules/a/node_modules/@b/none': {},
      'node_modules/new': { integrity: 'sha512-x', hasInstallScript: true },
      'node_modules/named': { integrity: 'sha512-x', resolved: 'https://registry.npmjs.org/a/-/a-1.tgz' },
      'node_modules/slipped': {
        integrity: 'sha512-x',
        resolved: 'https://registry.npmjs.org.evil.example/a.tgz',
      },
      'node_modules/git': { integrity: 'sha512-x', resolved: 'git+ssh://git@example.org/a.git#1' },
      'node_modules/refused': { integrity: 'sha512-x', hasInstallScript: true },
    },
  }
  expect(unverified(lockFile)).toEqual(['weak', '@b/none'])
  expect(fromElsewhere(lockFile)).toEqual(['slipped', 'git'])
  expect(undecidedScripts(lockFile, { allowScripts: { good: true, refused: false } })).toEqual(['new'])
  expect(undecidedScripts(lockFile, {})).toEqual(['good', 'new', 'refused'])
})
