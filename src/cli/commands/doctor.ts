import type { Config } from '../../config.ts'
import type { Finding } from '../../db/database.ts'
import { type Database, openDatabase } from '../../db/database.ts'
import { migrationHistory } from '../../db/migrate.ts'
import { reasonOf } from '../../errors.ts'
import { examineCounters, repairCounters } from '../../limits/examine.ts'
import { configSummary } from '../config-summary.ts'
import { Failure } from '../failure.ts'
import { examineMasterKey } from '../master-key-check.ts'
import { configOf, type GlobalOptions, settingsOf } from '../open-store.ts'
import { outputWidth, write, writeJson } from '../output.ts'
import { printableLine } from '../printable.ts'
import { schemaDrift } from '../schema-drift.ts'
import { type Column, formatTable } from '../table.ts'

export interface DoctorOptions extends GlobalOptions {
  readonly repairLimits?: boolean
  readonly json?: boolean
}

interface Diagnosis {
  readonly findings: readonly Finding[]
  /** Lines of the schema that are missing (-) and that should not be there (+). */
  readonly drift: readonly string[]
}

const columns: readonly Column<Finding>[] = [
  { title: 'CHECK', text: ({ name }) => name },
  { title: 'OK', text: ({ ok }) => (ok ? 'yes' : 'NO') },
  { title: 'FOUND', text: ({ value }) => value },
]

/** Checks everything a gateway needs of its database and changes nothing. */
export async function doctor(options: DoctorOptions): Promise<void> {
  const config = configOf(options)
  const { findings, drift } = await diagnose(config, options.repairLimits === true)
  const ailing = findings.filter(({ ok }) => !ok)
  const summary = configSummary(config)
  if (options.json === true) await writeJson({ ok: ailing.length === 0, config: summary, findings, drift })
  else {
    const settings = Object.entries(summary).map(([name, value]) => ({ name, value: String(value) }))
    await write(formatTable<{ name: string; value: string }>(settingColumns, settings, outputWidth()))
    await write(`\n${formatTable(columns, findings)}`)
    if (drift.length > 0) await write(`\n${drift.map(printableLine).join('\n')}\n`)
  }
  if (ailing.length > 0)
    throw new Failure(`Not as it should be: ${ailing.map(({ name }) => name).join(', ')}`)
}

const settingColumns = [
  { title: 'SETTING', text: ({ name }: { name: string }) => name },
  { title: 'VALUE', text: ({ value }: { value: string }) => value, elastic: true },
]

async function diagnose(config: Config, repairLimits: boolean): Promise<Diagnosis> {
  const database = openDatabase(config.databaseUrl, settingsOf(config))
  try {
    const connection = await examineConnection(database)
    if (!connection.ok)
      return {
        findings: [connection, ...database.examineStorage(), await examineMasterKey(config, undefined)],
        drift: [],
      }
    const findings = [connection, ...database.examineStorage(), ...(await database.examine())]
    const migrations = await examineMigrations(database)
    findings.push(migrations)
    const drift = migrations.ok ? await schemaDrift(database) : undefined
    if (drift !== undefined) findings.push(drift.finding)
    if (migrations.ok) findings.push(await examineLimits(database, repairLimits))
    findings.push(await examineMasterKey(config, migrations.ok ? database : undefined))
    return { findings, drift: drift?.lines ?? [] }
  } finally {
    await database.close()
  }
}

async function examineLimits(database: Database, repairs: boolean): Promise<Finding> {
  const name = 'limits'
  try {
    const wrong = repairs ? await repairCounters(database) : await examineCounters(database)
    if (wrong.length === 0) return { name, value: 'every counter is the sum of its calls', ok: true }
    const value = repairs
      ? `${wrong.length} counters are put right`
      : `${wrong.length} counters are not the sum of their calls; run: stele doctor --repair-limits`
    return { name, value, ok: repairs }
  } catch (error) {
    return { name, value: reasonOf(error), ok: false }
  }
}

async function examineConnection(database: Database): Promise<Finding> {
  const name = 'connection'
  if (!database.exists()) return { name, value: 'there is no database yet; run: stele migrate up', ok: false }
  try {
    await database.hasTable(database.kysely, 'users')
    return { name, value: database.location.display, ok: true }
  } catch (error) {
    return { name, value: reasonOf(error), ok: false }
  }
}

async function examineMigrations(database: Database): Promise<Finding> {
  const name = 'migrations'
  try {
    const history = await migrationHistory(database)
    const missing = history.filter(({ appliedAt }) => appliedAt === undefined)
    if (missing.length === 0)
      return { name, value: `all ${history.length} applied, up to ${history.at(-1)?.name}`, ok: true }
    return {
      name,
      value: `${missing.length} not applied, from ${missing[0]?.name}; run: stele migrate up`,
      ok: false,
    }
  } catch (error) {
    return { name, value: reasonOf(error), ok: false }
  }
}
