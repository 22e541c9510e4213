import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { undecidedScripts, unverified } from './lib/lock-file.ts'

/**
 * Checks what is installed: every package of the lock file has a checksum, none runs a script at installation that
 * package.json does not speak of, and the registry knows no serious weakness of what Stele runs with. Exits with 1
 * otherwise. A registry that cannot be asked for weaknesses is told of and counts as no answer, not as a failure.
 */

const json = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../${name}`, import.meta.url), 'utf8')) as unknown

const problems = [
  ...unverified(json('package-lock.json')).map(
    name => `${name} has no SHA-512 checksum in package-lock.json`,
  ),
  ...undecidedScripts(json('package-lock.json'), json('package.json')).map(
    name =>
      `${name} runs a script when it is installed: allow it under allowScripts in package.json, or refuse it there`,
  ),
]
for (const problem of problems) console.error(problem)

const { status, stdout, stderr } = spawnSync('npm', ['audit', '--omit=dev', '--audit-level=high', '--json'], {
  encoding: 'utf8',
  timeout: 120_000,
})
const answer = report(stdout)
if (answer?.vulnerabilities === undefined) {
  const reason = answer?.message ?? stderr?.trim().split('\n')[0] ?? 'npm did not answer'
  console.warn(`Not audited: the registry cannot be asked for known weaknesses here (${reason}).`)
} else {
  const count = Object.keys(answer.vulnerabilities).length
  console.log(`Audited: ${count === 0 ? 'no known weakness' : `${count} packages with known weaknesses`}.`)
  if (status !== 0) {
    console.error(stdout)
    problems.push('npm audit')
  }
}
process.exitCode = problems.length === 0 ? 0 : 1

function report(text: string | undefined): { vulnerabilities?: object; message?: string } | undefined {
  try {
    return JSON.parse(text ?? '') as { vulnerabilities?: object; message?: string }
  } catch {
    return undefined
  }
}
