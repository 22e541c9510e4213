import { userInfo } from 'node:os'
import type { ReadStream, WriteStream } from 'node:tty'
import type { ChatBackend } from '../../chat/backend.ts'
import { Chat } from '../../chat/chat.ts'
import { GatewayBackend } from '../../chat/gateway-backend.ts'
import { StoreBackend } from '../../chat/store-backend.ts'
import {
  auditOf,
  type Config,
  limitsOf,
  loadConfig,
  pricingOf,
  privacyOf,
  retentionOf,
} from '../../config.ts'
import { openDatabase } from '../../db/database.ts'
import { SteleError } from '../../errors.ts'
import { configuredMasking } from '../../gateway/masking/masking.ts'
import { createProviders } from '../../providers/registry.ts'
import { openStele } from '../../stele.ts'
import { checkUserId } from '../../store/users.ts'
import { holdChat, type InteractiveOptions } from '../chat/interactive.ts'
import { answerInput } from '../chat/piped.ts'
import { TerminalScreen } from '../chat/terminal-screen.ts'
import { asUnavailable, type GlobalOptions, settingsOf } from '../open-store.ts'
import { say } from '../output.ts'

export interface ChatCommandOptions extends GlobalOptions {
  readonly gateway?: string
  readonly key?: string
  readonly model?: string
  readonly system?: string
  readonly new?: boolean
  readonly resume?: string | true
  readonly user?: string
  /** False with --no-store. */
  readonly store: boolean
  readonly lines?: boolean
  readonly json?: boolean
}

/** Tells something that happened in the background. */
interface Teller {
  tell: (text: string) => void
}

interface Opened {
  readonly backend: ChatBackend
  /** What a newcomer should know. */
  readonly notice: string | undefined
  /** The model to ask when nobody says which. */
  defaultModel(): Promise<string | undefined>
}

const memory = 'sqlite::memory:'

/** A chat in the terminal; with piped input, the answer to it. */
export async function chatInTerminal(options: ChatCommandOptions): Promise<void> {
  const config = loadConfig({ databaseUrl: options.database })
  if (options.user !== undefined) checkUserId(options.user)
  const teller: Teller = { tell: text => say(`stele: ${text}`) }
  const { backend, notice, defaultModel } =
    options.gateway === undefined
      ? await onStore(config, options, teller)
      : await onGateway(config, options.gateway, options)
  let ended: NodeJS.Signals | undefined
  try {
    const model = options.model ?? (await backend.lastModel()) ?? (await defaultModel()) ?? ''
    const chat = new Chat({ backend, model, system: options.system })
    ended = isTerminal() ? await converse(chat, options, { notice, teller }) : await answer(chat, options)
  } finally {
    await backend.close()
  }
  // Everything is settled and written: whoever sent the signal sees that it was what ended the program.
  if (ended !== undefined) process.kill(process.pid, ended)
}

async function converse(
  chat: Chat,
  options: ChatCommandOptions,
  { notice, teller }: { readonly notice: string | undefined; readonly teller: Teller },
): Promise<NodeJS.Signals | undefined> {
  const { model, system } = options
  if (options.lines === true || options.json === true)
    throw new SteleError('usage', { reason: '--lines and --json are for piped input.' })
  const isStyled = (process.env['NO_COLOR'] ?? '') === ''
  const screen = new TerminalScreen(process.stdin as ReadStream, process.stdout as WriteStream, { isStyled })
  const signals = onSignals(signal => (signal === 'SIGINT' ? screen.interrupt() : screen.stop()))
  const restore = (): void => screen.close()
  process.once('exit', restore)
  screen.open()
  teller.tell = text => screen.notify(text)
  try {
    await holdChat(chat, screen, { conversation: conversationOf(options), model, system, notice })
  } finally {
    process.off('exit', restore)
    screen.close()
    teller.tell = text => say(`stele: ${text}`)
    signals.release()
  }
  return signals.ended
}

async function answer(chat: Chat, options: ChatCommandOptions): Promise<NodeJS.Signals | undefined> {
  const { lines, json, model, system } = options
  const conversation = conversationOf(options)
  const [last] = conversation === 'last' ? await chat.backend.sessions(1) : []
  const id = typeof conversation === 'object' ? conversation.id : last?.id
  if (id !== undefined) {
    await chat.resume(id)
    if (model !== undefined) chat.model = model
    if (system !== undefined) chat.setSystem(system)
  }
  if (chat.model === '')
    throw new SteleError('usage', { reason: 'No model is named. Name one: --model NAME' })
  const stop = new AbortController()
  const signals = onSignals(() => stop.abort(), { evenFirst: true })
  try {
    const isByLine = lines === true || process.stdin.isTTY === true
    await answerInput(chat, process.stdin, { isByLine, isJson: json === true, stop })
  } finally {
    signals.release()
  }
  return signals.ended
}

function conversationOf(options: ChatCommandOptions): InteractiveOptions['conversation'] {
  if (options.new === true) return 'new'
  if (options.resume === undefined) return 'ask'
  return options.resume === true ? 'last' : { id: options.resume }
}

/** Whether somebody can be talked with: input and output are a terminal that moves its cursor. */
function isTerminal(): boolean {
  return process.stdin.isTTY === true && process.stdout.isTTY === true && process.env['TERM'] !== 'dumb'
}

async function onStore(config: Config, { store, user }: ChatCommandOptions, teller: Teller): Promise<Opened> {
  const databaseUrl = store ? config.databaseUrl : memory
  const stele = await asUnavailable(openDatabase(databaseUrl), { evenUnknown: true }, async () => {
    const opened = await openStele({
      ...settingsOf(config),
      databaseUrl,
      ...(store ? privacyOf(config) : {}),
      onStoreFailure: config.onStoreFailure,
      spoolFolder: config.spoolFolder,
      spoolLimit: config.spoolLimit,
      limits: limitsOf(config),
      retention: retentionOf(config),
      pricing: pricingOf(config),
      ...(store ? { audit: auditOf(config) } : {}),
      onSpoolChange: ({ isSpooling }) =>
        teller.tell(
          isSpooling
            ? 'The database is away. What is said is kept on this disk and recorded when it is back.'
            : 'The database is back, and everything is recorded.',
        ),
    })
    // Shows that it can be written to, and settles what an earlier process left open, before anything is asked.
    await opened.recorder.start().catch(async error => {
      await opened.close()
      throw error
    })
    return opened
  }).catch(error => {
    if (error instanceof SteleError) say('stele: To chat without a database: stele chat --no-store')
    throw error
  })
  try {
    const providers = createProviders(config, stele)
    const userId = user ?? loginName()
    const { replyLimit, compress } = config
    const masking = configuredMasking(config)
    const backend = new StoreBackend({ stele, providers, userId, replyLimit, masking, compress })
    const { isEchoOnly, aliases } = providers
    const notices = [
      ...(store ? [] : ['Nothing is kept: this chat is in memory alone.']),
      ...(isEchoOnly ? ['No provider is configured: the built-in model echo repeats what you say.'] : []),
    ]
    return {
      backend,
      notice: notices.length === 0 ? undefined : notices.join(' '),
      defaultModel: async () => (isEchoOnly ? 'echo' : (aliases[0] ?? (await backend.models())[0])),
    }
  } catch (error) {
    await stele.close()
    throw error
  }
}

async function onGateway(
  config: Config,
  url: string,
  { key, user: userId }: ChatCommandOptions,
): Promise<Opened> {
  const backend = new GatewayBackend({ url, key: key ?? config.apiKey, userId })
  try {
    // Whether it is there and takes the key is told before anything is asked.
    const [first] = await backend.models()
    return { backend, notice: undefined, defaultModel: async () => first }
  } catch (error) {
    await backend.close()
    throw error
  }
}

/** The login name; a process without an account has none. */
function loginName(): string {
  try {
    return checkUserId(userInfo().username)
  } catch {
    return 'nobody'
  }
}

interface Signals {
  /** The signal that ended the program, if one did. */
  readonly ended: NodeJS.Signals | undefined
  release(): void
}

/** Hears signals; SIGINT ends the program only `evenFirst`, as the terminal's own is a key. */
function onSignals(hear: (signal: NodeJS.Signals) => void, { evenFirst = false } = {}): Signals {
  let ended: NodeJS.Signals | undefined
  const listeners = (['SIGINT', 'SIGTERM', 'SIGHUP'] as const).map(signal => {
    const listener = (): void => {
      if (evenFirst || signal !== 'SIGINT') ended = signal
      hear(signal)
    }
    process.on(signal, listener)
    return { signal, listener }
  })
  return {
    get ended() {
      return ended
    },
    release() {
      for (const { signal, listener } of listeners) process.off(signal, listener)
    },
  }
}
