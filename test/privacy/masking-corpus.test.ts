import { expect, test } from 'vitest'
import { scoreOf } from '../../bench/lib/masking-score.ts'
import { piiCorpus } from '../../bench/lib/pii-corpus.ts'
import { findEntities } from '../../src/privacy/masking/detect.ts'
import { builtInKinds } from '../../src/privacy/masking/finding.ts'

test('of every kind nearly all is found in generated texts, and hardly anything else', () => {
  const missed: string[] = []
  const scores = scoreOf(
    piiCorpus(1_500, 20_260),
    text => findEntities(text, { phoneRegion: 'US', patterns: [] }),
    (_, what) => void missed.push(what),
  )
  expect([...scores.keys()].sort()).toEqual([...builtInKinds].sort())
  for (const [kind, { f, labels }] of scores) {
    expect(labels, kind).toBeGreaterThan(50)
    expect(f, `${kind}: ${missed.join('; ').slice(0, 2_000)}`).toBeGreaterThanOrEqual(0.95)
  }
})
