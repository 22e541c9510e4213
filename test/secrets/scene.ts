import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { GatewayProcess } from '../../faults/gateway-process.ts'
import { generateMasterKey, parseMasterKey, unwrapKey } from '../../src/privacy/master-key.ts'
import { openStele, type Stele } from '../../src/stele.ts'
import { serveProcess } from '../gateway/serve-process.ts'
import { startUpstream, type Upstream } from '../gateway/upstream.ts'
import { temporaryFolder } from '../harness/databases.ts'
import { documentTypes } from './document-recipes.ts'
import { fallback } from './failures.ts'
import { type Kind, Markers } from './markers.ts'
import { replyLimit, speakInMarkers } from './provider.ts'
import { BytesSearch } from './search-bytes.ts'
import { type Speaker, speaker } from './speaker.ts'

export const bodyLimit = 100_000

/** Users, by how what they say is kept. */
export const users = { encrypted: 'ada', hashed: 'hal', plain: 'pia' } as const

export type Mode = keyof typeof users

/** A gateway that marked things are said to, and everything that is known of it. */
export interface Scene {
  readonly markers: Markers
  readonly search: BytesSearch
  /** Everything that the gateway writes is below it, but for what a database elsewhere writes. */
  readonly folder: string
  readonly upstream: Upstream
  readonly masterKey: string
  readonly adminKey: string
  /** Somebody of one mode, who says things that are kept, or things that are not to be. */
  speaker(mode: Mode, kind?: Kind): Speaker
  /** Starts the gateway, or starts it again. */
  serve(env?: Readonly<Record<string, string>>, more?: { fileLimit?: number }): Promise<GatewayProcess>
  address(): string
  /** What all of its processes have said. */
  said(): { readonly stdout: string; readonly stderr: string }
  /** The store, opened by its operator. Learns all keys that are in it. */
  open(): Promise<Stele>
}

interface Where {
  /** @param folder the gateway's */
  readonly databaseUrl: (folder: string) => string
  /** How the operator gets there; as the gateway does when left out. */
  readonly operatorUrl?: string
}

export async function setScene({ databaseUrl, operatorUrl }: Where): Promise<Scene> {
  const markers = new Markers()
  const search = new BytesSearch(markers)
  const outer = await temporaryFolder()
  const folder = join(outer, 'gateway')
  mkdirSync(join(folder, 'tmp'), { recursive: true })
  const url = databaseUrl(folder)
  const masterKey = Buffer.from(generateMasterKey().bytes).toString('base64')
  search.addSecret('the master key', Buffer.from(masterKey, 'base64'))
  search.addSecret('the master key in base64', Buffer.from(masterKey))
  // Made up by somebody: it begins as no key of Stele's does.
  // A key that somebody makes up must not be guessed easily, and what marks it may have few characters.
  const adminKey = `${markers.make('secret', 'the first API key')}-ABCDEFGH`

  const upstream = await startUpstream()
  speakInMarkers(upstream, markers)
  writeFileSync(join(outer, 'stele.config.json'), JSON.stringify(configOf(upstream, markers)))
  const env = {
    DATABASE_URL: url,
    STELE_MASTER_KEY: masterKey,
    STELE_API_KEY: adminKey,
    STELE_CONFIG: join(outer, 'stele.config.json'),
    STELE_REGISTRATION: 'open',
    PLANTED_PROVIDER_KEY: `sk-${markers.make('secret', "the provider's key")}`,
    TMPDIR: join(folder, 'tmp'),
    NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'] ?? '',
    SQL_ECHO: 'true',
  }

  const open = async (): Promise<Stele> => {
    const stele = await openStele({
      databaseUrl: operatorUrl ?? url,
      masterKey,
      spoolFolder: join(outer, 'spool'),
    })
    onTestFinished(() => stele.close())
    await learnKeys(stele, search, masterKey)
    return stele
  }
  const keys = await makeKeys(await open(), search, markers)
  await describeUsers(await open(), markers)

  let address = ''
  const processes: GatewayProcess[] = []
  return {
    markers,
    search,
    folder,
    upstream,
    masterKey,
    adminKey,
    open,
    address: () => address,
    said: () => ({
      stdout: processes.map(({ stdout }) => stdout()).join(''),
      stderr: processes.map(({ stderr }) => stderr()).join(''),
    }),
    speaker(mode, kind = mode) {
      const learn: Speaker['learn'] = (what, secret) => search.addSecret(what, Buffer.from(secret))
      const { leave, ...one } = speaker({ address: () => address, key: keys[mode], kind, markers, learn })
      onTestFinished(leave)
      return one
    },
    async serve(more = {}, { fileLimit } = {}) {
      const gateway = await serveProcess({
        cwd: folder,
        env: { ...env, ...more },
        ...(fileLimit === undefined ? {} : { fileLimit }),
      })
      processes.push(gateway)
      address = await gateway.address
      return gateway
    },
  }
}

function configOf({ baseUrl }: Upstream, markers: Markers): object {
  const provider = {
    baseUrl,
    apiKeyEnv: 'PLANTED_PROVIDER_KEY',
    retries: 1,
    breakerFailures: 0,
    idleTimeout: 10,
  }
  const headers = { 'x-provider-secret': markers.make('secret', 'a header for the provider') }
  return {
    providers: {
      first: { ...provider, headers },
      second: { ...provider, retries: 0 },
    },
    defaultProvider: 'first',
    models: { [fallback]: { targets: ['first/fails', 'second/stumbles', 'second/speaks'] } },
    bodyLimit,
    replyLimit,
    retryBudget: 2,
    shutdownTimeout: 1,
    chatModel: 'speaks',
    documentTypes,
    cache: { embeddings: 'first/speaks' },
  }
}

/** A key for each mode, whose user has that mode too. */
async function makeKeys(
  stele: Stele,
  search: BytesSearch,
  markers: Markers,
): Promise<Readonly<Record<Mode, string>>> {
  const made = await Promise.all(
    Object.entries(users).map(async ([mode, userId]) => {
      const contentMode = mode as Mode
      const name = markers.make('label', 'the name of a key')
      const { secret } = await stele.apiKeys.create({ userId, name, contentMode })
      search.addSecret('an API key', Buffer.from(secret))
      await stele.users.update(userId, { contentMode })
      return [mode, secret] as const
    }),
  )
  await stele.close()
  return Object.fromEntries(made) as Record<Mode, string>
}

/** What is known of users. In a store of its own: a mode that is changed holds a few seconds later in one that is open. */
async function describeUsers(stele: Stele, markers: Markers): Promise<void> {
  for (const [mode, userId] of Object.entries(users))
    await stele.users.update(userId, {
      email: `${markers.make('label', 'an address')}@example.com`,
      username: markers.make('label', 'a name'),
      preferences: { note: markers.text(mode as Mode, 'preferences') },
    })
  await stele.close()
}

/** Whatever the master key wraps is a secret too. */
async function learnKeys({ database }: Stele, search: BytesSearch, masterKey: string): Promise<void> {
  const master = parseMasterKey(masterKey)
  for (const { id, wrapped_key } of await database.kysely.selectFrom('secrets').selectAll().execute()) {
    const secret = unwrapKey(master, `secret:${id}`, wrapped_key)
    if (secret.byteLength === 32) search.addSecret(`the secret ${id}`, secret)
  }
  for (const row of await database.kysely.selectFrom('data_keys').selectAll().execute())
    if (row.wrapped_key !== null)
      search.addSecret(
        `a data key of ${row.user_id}`,
        unwrapKey(master, `data-key\0${row.user_id}\0${row.id}`, row.wrapped_key),
      )
}
