import { ask, type Gateway, type Question } from './ask.ts'
import type { Asked, Exchange } from './journal.ts'

export interface Repetition {
  /** Whether a question that was answered is asked again all the same. */
  readonly evenIfAnswered: boolean
  /** Resolves when a gateway is there to ask; with false when nothing is to be asked any more. */
  readonly isUp: () => Promise<boolean>
}

/** Asks, and when the question has a key and the connection broke, once more with the same key and body. */
export async function askWithKey(
  question: Question,
  gateway: Gateway,
  { evenIfAnswered, isUp }: Repetition,
): Promise<Asked> {
  const { leaves, ...told } = question
  const first = await ask(question, gateway)
  const isRepeated =
    question.idempotencyKey !== undefined && (first.broke || (first.reply !== undefined && evenIfAnswered))
  if (!isRepeated || !(await isUp())) return { ...told, ...first, other: undefined }
  const second = await ask({ ...question, leaves: undefined }, gateway)
  const [one, other] = inOrderOfWorth(first, second)
  return { ...told, ...one, other }
}

/** An answer that one has is not lost because it could not be had again. */
function inOrderOfWorth(first: Exchange, second: Exchange): [Exchange, Exchange] {
  return first.reply !== undefined && second.reply === undefined ? [first, second] : [second, first]
}
