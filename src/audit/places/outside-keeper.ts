import { quietReasonOf } from '../../quiet-error.ts'
import type { PublishedCheckpoint } from '../log/steps.ts'
import { LogFolder } from './log-folder.ts'
import type { LogSource, Standing, StoredCheckpoint } from './log-source.ts'
import type { PlacesNews } from './news.ts'
import {
  type OutsidePlace,
  outsidePlaces,
  Publisher,
  type PublisherOptions,
  publishedIn,
} from './publisher.ts'

export interface OutsideKeeperOptions
  extends Omit<PublisherOptions, 'onAttempt' | 'onDamage' | 'onDisagreement'> {
  readonly source: Pick<LogSource, 'standingOf'>
  /** The files of the log, whose last checkpoint is one that is outside too. */
  readonly folder?: string | undefined
  readonly checkpointPath?: string | undefined
  /** Milliseconds between two checkpoints that leave, at least. */
  readonly interval: number
  readonly tell: (news: PlacesNews) => void
}

/** How the checkpoints outside stand to the log. */
export interface OutsideState {
  /** Undefined before it was found out. */
  readonly standing: Standing | undefined
  readonly places: Readonly<Record<OutsidePlace, PlaceState>>
}

export interface PlaceState {
  /** Attempts of this process that went well, and that did not. */
  readonly published: number
  readonly failures: number
  /** Whether the last one did not. */
  readonly isFailing: boolean
}

interface KnownOutside extends StoredCheckpoint {
  /** Where it is. */
  readonly target: string
}

/** Has checkpoints leave the database, and compares the log with those that have. */
export class OutsideKeeper {
  readonly #options: OutsideKeeperOptions
  readonly #publisher: Publisher
  readonly #places: Record<OutsidePlace, PlaceState>
  #standing: Standing | undefined
  /** The size of the log that the witness has seen, and this is not. */
  #disagreement: number | undefined
  #nextPublication = 0
  #timer: NodeJS.Timeout | undefined
  #isStopped = false

  constructor(options: OutsideKeeperOptions) {
    this.#options = options
    const states = outsidePlaces.map(place => [place, { published: 0, failures: 0, isFailing: false }])
    this.#places = Object.fromEntries(states) as Record<OutsidePlace, PlaceState>
    const { checkpointPath = '', tell } = options
    this.#publisher = new Publisher({
      ...options,
      onAttempt: (place, error) => this.#note(place, error),
      onDamage: how => tell({ kind: 'file_tampered', target: checkpointPath, how }),
      onDisagreement: size => {
        this.#disagreement = size
        this.#stand(size, 'witness', 'older')
      },
    })
  }

  get state(): OutsideState {
    return { standing: this.#standing, places: this.#places }
  }

  /** Whether the log is one that may be gone on with: it begins with all that has left it. */
  get isTrusted(): boolean {
    return this.#standing === undefined || this.#standing === 'consistent'
  }

  /** What is known outside of the log, for whoever adds to it. Never rejects: what cannot be read holds nothing up. */
  async published(): Promise<PublishedCheckpoint[]> {
    return (await this.#known()).known.map(({ note }) => publishedIn(note))
  }

  /** A checkpoint was signed: it leaves now, or when the time between two is over. */
  signed(): void {
    if (this.#isStopped) return
    clearTimeout(this.#timer)
    const pause = Math.max(0, this.#nextPublication - Date.now())
    this.#timer = setTimeout(() => void this.#turn(), pause).unref()
  }

  /** Compares, and begins to publish, save when that is left to others. Never rejects. */
  async start({ compareOnly }: { readonly compareOnly: boolean }): Promise<void> {
    await this.#compare()
    this.#isStopped ||= compareOnly
    if (this.#isStopped) return
    this.#timer = setTimeout(() => void this.#turn(), this.#options.interval).unref()
  }

  /** Publishes what has not left yet. Never rejects. */
  async stop(): Promise<void> {
    this.#isStopped = true
    clearTimeout(this.#timer)
    await this.#compare()
    await this.#publisher.close({ isLast: this.isTrusted })
  }

  async #turn(): Promise<void> {
    const { interval } = this.#options
    this.#nextPublication = Date.now() + interval
    await this.#compare()
    if (this.isTrusted) await this.#publisher.publish()
    if (this.#isStopped) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#turn(), interval).unref()
  }

  /** The newest checkpoints that are outside the database, on this machine, as far as they can be read. */
  async #known(): Promise<{ known: KnownOutside[]; isWhole: boolean }> {
    const { file, checkpointPath = '', folder } = this.#options
    const ofFolder = async (path: string): Promise<KnownOutside | undefined> => {
      const newest = await new LogFolder(path).newest(1)
      return newest?.edges.checkpoint && { ...newest.edges.checkpoint, target: newest.name }
    }
    const found = await Promise.allSettled([
      file?.last().then(last => last && { ...last, target: checkpointPath }),
      folder === undefined ? undefined : ofFolder(folder),
    ])
    const known = found.flatMap(each => (each.status === 'fulfilled' && each.value ? [each.value] : []))
    return { known, isWhole: found.every(({ status }) => status === 'fulfilled') }
  }

  async #compare(): Promise<void> {
    const { source, tell } = this.#options
    const { known, isWhole } = await this.#known()
    try {
      for (const { note, size, target } of known) {
        const standing = await source.standingOf(note)
        if (standing !== 'consistent') return this.#stand(size, target, standing)
      }
    } catch {
      // The database is away: it can be told when it is back.
      return
    }
    if (this.#disagreement !== undefined || !isWhole) return
    if (!this.isTrusted) tell({ kind: 'log_consistent' })
    this.#standing = 'consistent'
  }

  #stand(size: number, target: string, standing: Exclude<Standing, 'consistent'>): void {
    if (this.#standing !== standing) this.#options.tell({ kind: 'log_rolled_back', target, standing, size })
    this.#standing = standing
  }

  #note(place: OutsidePlace, error: unknown): void {
    const { published, failures, isFailing } = this.#places[place]
    const { tell } = this.#options
    if (error === undefined) {
      this.#places[place] = { published: published + 1, failures, isFailing: false }
      if (isFailing) tell({ kind: 'checkpoint_recovered', target: place })
      if (place === 'witness') this.#disagreement = undefined
      return
    }
    this.#places[place] = { published, failures: failures + 1, isFailing: true }
    if (!isFailing) tell({ kind: 'checkpoint_failed', target: place, reason: quietReasonOf(error) })
  }
}
