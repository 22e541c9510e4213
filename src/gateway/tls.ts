import { X509Certificate } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import type { Server as HttpsServer } from 'node:https'
import { createSecureContext, type SecureContextOptions } from 'node:tls'
import type { Logger } from 'pino'
import { reasonOf, SteleError } from '../errors.ts'
import type { NetworkSettings } from '../network-settings.ts'

type TlsSettings = Pick<NetworkSettings, 'tlsCert' | 'tlsKey' | 'tlsPassphraseFile'>

/** Of a key file: others than its owner may not write it, and the world may not read it. */
const openToOthers = 0o027

/**
 * What a server needs to speak TLS, read from the files that the settings name; undefined when they name none.
 * @throws SteleError config_invalid when a file cannot be read, or others can read the key, or the two do not fit
 */
export function readTls(settings: TlsSettings): SecureContextOptions | undefined {
  const { tlsCert, tlsKey, tlsPassphraseFile } = settings
  if (tlsCert === undefined || tlsKey === undefined) return undefined
  const cert = read('tlsCert (STELE_TLS_CERT)', tlsCert)
  const key = readSecret('tlsKey (STELE_TLS_KEY)', tlsKey)
  const passphrase =
    tlsPassphraseFile === undefined
      ? undefined
      : readSecret('tlsPassphraseFile (STELE_TLS_PASSPHRASE_FILE)', tlsPassphraseFile).toString('utf8').trim()
  const options = {
    cert,
    key,
    ...(passphrase === undefined ? {} : { passphrase }),
    minVersion: 'TLSv1.2' as const,
  }
  try {
    createSecureContext(options)
  } catch (cause) {
    throw invalid('tlsCert, tlsKey', `they cannot be used: ${reasonOf(cause)}`)
  }
  return options
}

/** Whether a certificate has ended, or has not begun. */
function isOutOfDate({ cert }: SecureContextOptions, now = Date.now()): boolean {
  const { validFromDate, validToDate } = new X509Certificate(cert as Buffer)
  return now < validFromDate.getTime() || now > validToDate.getTime()
}

/**
 * Reads the files again at SIGHUP: what connects from then on gets the new certificate, connections that are there keep
 * theirs. Files that cannot be used change nothing.
 * @returns what ends this
 */
export function reloadAtHangup(server: HttpsServer, settings: TlsSettings, logger: Logger): () => void {
  const reload = (): void => {
    try {
      const options = readTls(settings)
      if (options === undefined) return
      server.setSecureContext(options)
      logger.info('the TLS certificate was read again')
      warnOutOfDate(options, logger)
    } catch (err) {
      logger.error({ err }, 'the TLS certificate stays as it was')
    }
  }
  process.on('SIGHUP', reload)
  return () => void process.off('SIGHUP', reload)
}

export function warnOutOfDate(options: SecureContextOptions, logger: Logger): void {
  if (isOutOfDate(options)) logger.warn('the TLS certificate is not valid now: see its dates')
}

function readSecret(setting: string, path: string): Buffer {
  const bytes = read(setting, path)
  if (process.platform !== 'win32' && (statSync(path).mode & openToOthers) !== 0)
    throw invalid(setting, `others can read or change ${path}; run: chmod 600 ${path}`)
  return bytes
}

function read(setting: string, path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (cause) {
    throw invalid(
      setting,
      `${path} cannot be read (${(cause as NodeJS.ErrnoException).code ?? reasonOf(cause)})`,
    )
  }
}

function invalid(setting: string, reason: string): SteleError {
  return new SteleError('config_invalid', { problems: `  ${setting}: ${reason}` })
}
