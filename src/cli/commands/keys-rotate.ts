import { type GlobalOptions, withStele } from '../open-store.ts'
import { operatorHere } from '../operator.ts'
import { say, writeJson, writeLine } from '../output.ts'
import { toRecord } from '../record.ts'
import { timeText } from '../values.ts'

export interface RotateKeyOptions extends GlobalOptions {
  /** Until when the secret that it has stays good, in milliseconds since 1970. */
  readonly grace: number
  readonly json?: boolean
}

/** Gives an API key a new secret, which alone goes to stdout. */
export async function rotateKey(id: string, options: RotateKeyOptions): Promise<void> {
  const grace = Math.max(0, options.grace - Date.now())
  await withStele(options, async ({ apiKeys }) => {
    const key = await apiKeys.rotate(id, { by: operatorHere(), grace })
    if (options.json === true) return writeJson(toRecord(key))
    say(
      `Rotated ${id}. Its old secret is good until ${timeText(key.previousExpiresAt)}. The new one, shown only now:`,
    )
    return writeLine(key.secret)
  })
}
