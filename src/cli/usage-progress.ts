import type { Stele } from '../stele.ts'
import { say } from './output.ts'

/** Calls after which it is told what takes so long. */
const many = 10_000

/** Sums up what is not yet: then the report is fast, and so is the next. It would say the same without. */
export async function sumUpFirst({ usage }: Pick<Stele, 'usage'>): Promise<void> {
  let told = 0
  await usage.rollUp({
    onProgress(calls) {
      if (calls - told < many) return
      told = calls
      say(`${calls} calls summed up`)
    },
  })
}
