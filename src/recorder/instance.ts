import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'
import type { Row } from '../db/tables.ts'

/** After this long without a heartbeat a process on another machine counts as dead, in milliseconds. */
const leaseDuration = 30_000

/** After this long without a heartbeat a running process with the same number is taken for another program. */
const reuseDuration = 600_000

export const heartbeatInterval = 5_000

/**
 * Names the place in which process ids mean something: machine, its boot, and process-id namespace. Two containers with
 * the same host name must not judge each other's processes by number.
 */
export function hostIdentity(): string {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    return `${hostname()} ${boot} ${readlinkSync('/proc/self/ns/pid')}`
  } catch {
    return hostname()
  }
}

/** Whether the process behind an instance row is certainly gone. */
export function isDead(
  instance: Row<'instances'>,
  here: { host: string; pid: number },
  now: number,
): boolean {
  const isSameHost = instance.host === here.host && here.host.includes(' ')
  if (isSameHost && instance.pid === here.pid) {
    // Of this very process, or of an earlier one that had its number (the first process of a container always does).
    return instance.started_at < now - process.uptime() * 1000
  }
  if (isSameHost) return !isRunning(instance.pid) || now - instance.heartbeat_at > reuseDuration
  return now - instance.heartbeat_at > leaseDuration
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
