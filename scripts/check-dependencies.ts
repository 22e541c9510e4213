import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { known, type Report } from './lib/audit-report.ts'
import { fromElsewhere, undecidedScripts, unverified } from './lib/lock-file.ts'

/**
 * Checks what is installed: every package of the lock file has a checksum and comes from the registry, none runs a script
 * at installation that package.json does not speak of, and the registry knows no serious weakness of what Stele runs with.
 * Exits with 1 otherwise. A registry that cannot be asked for weaknesses is told of; with --require-audit that is a failure
 * too, for wherever the registry is known to answer.
 */

const { values } = parseArgs({ options: { 'require-audit': { type: 'boolean', default: false } } })

const json = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../${name}`, import.meta.url), 'utf8')) as unknown

const lockFile = json('package-lock.json')
const problems = [
  ...unverified(lockFile).map(name => `${name} has no SHA-512 checksum in package-lock.json`),
  ...fromElsewhere(lockFile).map(name => `${name} comes from elsewhere than the registry`),
  ...undecidedScripts(lockFile, json('package.json')).map(
    name =>
      `${name} runs a script when it is installed: allow it under allowScripts in package.json, or refuse it there`,
  ),
]

const { status, stdout, stderr } = spawnSync('npm', ['audit', '--omit=dev', '--audit-level=high', '--json'], {
  encoding: 'utf8',
  timeout: 120_000,
  cwd: new URL('..', import.meta.url),
})
const answer = report(stdout)
if (answer?.vulnerabilities === undefined) {
  const reason = answer?.message ?? stderr?.trim().split('\n').at(-1) ?? 'npm did not answer'
  const told = `Not audited: the registry cannot be asked for known weaknesses here (${reason}).`
  if (values['require-audit']) problems.push(told)
  else console.warn(told)
} else {
  const weaknesses = known(answer)
  console.log(weaknesses.length === 0 ? 'Audited: no known weakness.' : 'Audited. Known weaknesses:')
  for (const line of weaknesses) console.log(`  ${line}`)
  if (status !== 0) problems.push('there are known weaknesses that are high or critical')
}
for (const problem of problems) console.error(problem)
process.exitCode = problems.length === 0 ? 0 : 1

function report(text: string | undefined): Report | undefined {
  try {
    return JSON.parse(text ?? '') as Report
  } catch {
    return undefined
  }
}
