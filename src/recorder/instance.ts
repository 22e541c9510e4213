import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'
import type { Row } from '../db/tables.ts'

/** After this long without a heartbeat a process on another machine counts as dead, in milliseconds. */
export const defaultLease = 30_000

/** Heartbeats in a lease: a few may be late. */
export const beatsPerLease = 6

/** Leases without a heartbeat after which a running process with the same number is taken for another program. */
const leasesBeforeReuse = 20

/**
 * Names the place in which process ids mean something: machine, its boot, and process-id namespace. Two containers with
 * the same host name must not judge each other's processes by number.
 */
function hostIdentity(): string {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    return `${hostname()} ${boot} ${readlinkSync('/proc/self/ns/pid')}`
  } catch {
    return hostname()
  }
}

/** This process, as it is known to others. */
export function instanceRow(id: string, openSince: string): Row<'instances'> {
  const host = hostIdentity()
  const now = Date.now()
  return { id, host, pid: process.pid, started_at: now, heartbeat_at: now, open_since: openSince }
}

interface Sign {
  readonly heartbeatAt: number
  /** When it was first seen, by this process's own clock that never jumps. */
  readonly seenAt: number
}

/**
 * Tells living processes from dead ones. What another machine's clock says is not relied on, and after an outage of the
 * database every heartbeat is old: a process elsewhere counts as dead when its row has stood still while this one looked on,
 * with the database there.
 */
export class Watch {
  readonly #lease: number
  readonly #signs = new Map<string, Sign>()

  /** @param lease milliseconds without a heartbeat after which a process elsewhere counts as dead */
  constructor(lease: number) {
    this.#lease = lease
  }

  /** The database was away: nobody could give a sign of life. */
  restart(): void {
    this.#signs.clear()
  }

  /** Of these instances, those whose processes are gone. To be called time and again. */
  dead(instances: readonly Row<'instances'>[], here: { host: string; pid: number }): Row<'instances'>[] {
    for (const id of this.#signs.keys())
      if (!instances.some(instance => instance.id === id)) this.#signs.delete(id)
    return instances.filter(instance => this.#isDead(instance, here))
  }

  #isDead(instance: Row<'instances'>, here: { host: string; pid: number }): boolean {
    const isSameHost = instance.host === here.host && here.host.includes(' ')
    if (isSameHost && instance.pid === here.pid) {
      // Of this very process, or of an earlier one that had its number (the first process of a container always does).
      return instance.started_at < Date.now() - process.uptime() * 1000
    }
    if (isSameHost)
      return !isRunning(instance.pid) || this.#hasStoodStill(instance, this.#lease * leasesBeforeReuse)
    return this.#hasStoodStill(instance, this.#lease)
  }

  #hasStoodStill({ id, heartbeat_at: heartbeatAt }: Row<'instances'>, duration: number): boolean {
    const sign = this.#signs.get(id)
    const now = performance.now()
    if (sign?.heartbeatAt === heartbeatAt) return now - sign.seenAt > duration
    this.#signs.set(id, { heartbeatAt, seenAt: now })
    return false
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
