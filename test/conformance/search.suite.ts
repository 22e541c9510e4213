import fc from 'fast-check'
import { expect, test } from 'vitest'
import { SteleError } from '../../src/errors.ts'
import type { Stele } from '../../src/stele.ts'
import type { SearchInput } from '../../src/store/search.ts'
import { assistant, chatBody, exchange, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'

/** Records messages that a user says, in one conversation. */
export async function say(stele: Stele, texts: readonly string[], userId = 'ada'): Promise<string> {
  const call = await stele.recorder.begin({ userId, provider: 'test', body: chatBody(texts.map(user)) })
  return call.conversationId ?? ''
}

/** Waits until all that a user has said can be found: a search itself does not wait for long. */
export async function indexed({ recorder }: Stele, userId = 'ada'): Promise<void> {
  while (!(await recorder.index({ userId, limit: 512 })));
}

/** The texts that a search finds, all pages of it, in their order. */
export async function found(stele: Stele, query: string, more: Partial<SearchInput> = {}): Promise<string[]> {
  const texts: string[] = []
  await indexed(stele, more.userId)
  for (let cursor: string | undefined; ; ) {
    const page = await stele.search({ userId: 'ada', query, limit: 100, ...more, cursor })
    expect(page.isComplete).toBe(true)
    texts.push(...page.hits.map(({ snippet }) => snippet.text))
    cursor = page.cursor
    if (cursor === undefined) return texts
  }
}

const texts = [
  'How tall is the Eiffel tower?',
  'The tower of Pisa leans; EIFFEL built none of it.',
  'Planets, planes and plans: planet by planet.',
  'Das Café an der Straße öffnet um 9:30',
  'Οδός, ΟΔΟΣ',
  'naïve ﬁnal ①②③ ＡＢＣ ｶﾞｲﾄﾞ',
  '東京都に行きました',
  'ฉันรักภาษาไทย',
  'Привет, мир! ёлка',
  'call snake_case_name(kebab-case) at https://example.org/path?q=1',
  "don't panic -- it's 100% (safe); DROP TABLE messages; SELECT * FROM users",
  '한국어 문장 검색',
  'नमस्ते दुनिया',
]

/** A query and the numbers of the texts that it finds. */
const meanings: readonly (readonly [string, readonly number[]])[] = [
  ['eiffel', [0, 1]],
  ['EIFFEL tower', [0, 1]],
  ['"eiffel tower"', [0]],
  ['“eiffel tower”', [0]],
  ['"tower eiffel"', []],
  ['"eiffel tower', [0]],
  ['tower -pisa', [0]],
  ['tower -"eiffel tower"', [1]],
  ['tower -"eiffel built"', [0]],
  ['plan*', [2]],
  ['pla* pisa', []],
  ['plan', []],
  ['planet -plane*', []],
  ['plane', []],
  ['cafe strasse', [3]],
  ['CAFÉ STRASSE ÖFFNET', [3]],
  ['"9 30"', [3]],
  ['9:30', [3]],
  ['οδος', [4]],
  ['ΟΔΟΣ', [4]],
  ['naive final', [5]],
  ['abc 123', [5]],
  ['ガイド', [5]],
  ['カイト', []],
  ['東京', [6]],
  ['京都', [6]],
  ['東都', []],
  ['東', [6]],
  ['東*', [6]],
  ['行きました', [6]],
  ['ภาษา', [7]],
  ['привет МИР', [8]],
  ['елка', [8]],
  ['ёлка', [8]],
  ['snake_case_name', [9]],
  ['snake', [9]],
  ['case-name', [9]],
  ['name-case', []],
  ['kebab_case', [9]],
  ['https://example.org/path', [9]],
  ["don't", [10]],
  ["'; DROP TABLE messages", [10]],
  ['select * from', [10]],
  ['OR panic', []],
  ['NOT panic', []],
  ['panic AND safe', []],
  ['words:panic', []],
  ['panic OR tower', []],
  ['NEAR(panic)', []],
  ['^panic', [10]],
  ['panic & safe', [10]],
  ['panic | tower', []],
  ['!panic', [10]],
  ['(panic', [10]],
  ['panic:*', [10]],
  ['문장', [11]],
  ['दुनिया', [12]],
]

export function searchSuite(bed: Bed): void {
  test('words, phrases, -not and prefix* mean the same in every script', async () => {
    const stele = await (await bed.place()).stele()
    await say(stele, texts)
    for (const [query, numbers] of meanings) {
      // Of a long one the end is not shown.
      const beginnings = (whole: readonly (string | undefined)[]) =>
        whole.map(text => text?.slice(0, 30)).sort()
      const expected = numbers.map(number => texts[number])
      expect(beginnings(await found(stele, query)), query).toEqual(beginnings(expected))
    }
  })

  test('what people said and were told is found: every part of it, and refusals; not what programs said', async () => {
    const stele = await (await bed.place()).stele()
    const parts = [
      { type: 'text', text: 'a needle in a part' },
      { type: 'image_url', image_url: { url: 'data:image/png;base64,needle' } },
      { type: 'text', text: 'and a needle in the next' },
    ]
    const messages = [
      { role: 'system', content: 'needle of the system' },
      user(parts),
      assistant(null, {
        tool_calls: [
          { id: 'c', type: 'function', function: { name: 'needle', arguments: '{"q":"needle"}' } },
        ],
      }),
      { role: 'tool', tool_call_id: 'c', content: 'needle of the tool' },
      assistant(null, { refusal: 'no needle for you' }),
      user('thanks'),
    ]
    const { settled } = await exchange(stele, messages, 'the last needle')
    const all = ['a needle in a part and a needle in the next', 'no needle for you', 'the last needle']
    expect((await found(stele, 'needle')).sort()).toEqual(all)
    const [hit] = (await stele.search({ userId: 'ada', query: 'last needle' })).hits
    expect(hit).toMatchObject({
      conversationId: settled.conversationId,
      seq: 6,
      role: 'assistant',
      title: undefined,
      snippet: {
        text: 'the last needle',
        ranges: [
          [4, 8],
          [9, 15],
        ],
      },
    })
    const stored = await stele.messages.list({ userId: 'ada', conversationId: settled.conversationId })
    expect(stored.at(-1)).toMatchObject({ id: hit?.messageId, createdAt: hit?.createdAt })
  })

  test('role, conversation and time narrow it', async () => {
    const stele = await (await bed.place()).stele()
    const at = Date.UTC(2026, 0, 5, 12)
    const record = (content: string, createdAt: number) =>
      stele.recorder.begin({ userId: 'ada', provider: 'test', body: chatBody([user(content)]), createdAt })
    const old = await record('word of old', at - 10_000)
    await record('word of now', at)
    await record('word of later', at + 10_000)
    await exchange(stele, [user('else')], 'word of an answer')
    const search = async (more: Partial<SearchInput>) => (await found(stele, 'word', more)).sort()
    expect(await search({ role: 'assistant' })).toEqual(['word of an answer'])
    expect(await search({ conversationId: old.conversationId })).toEqual(['word of old'])
    expect(await search({ from: at, to: at + 10_000 })).toEqual(['word of now'])
    expect(await search({ from: at + 1, to: at + 10_001 })).toEqual(['word of later'])
    expect(await search({ to: at, role: 'user' })).toEqual(['word of old'])
    expect(await found(stele, 'word', { from: at, conversationId: old.conversationId })).toEqual([])
    const known = { userId: 'ada', query: 'word' }
    const other = await say(stele, ['word of bob'], 'bob')
    await failure('conversation_not_found', stele.search({ ...known, conversationId: other }))
    await failure('conversation_not_found', stele.search({ ...known, conversationId: 'x' }))
    for (const wrong of [
      { role: 'tool' as 'user' },
      { limit: 0 },
      { limit: 101 },
      { limit: 1.5 },
      { cursor: 'x' },
      { cursor: Buffer.from('{}').toString('base64url') },
      { query: '' },
      { query: ' -- "" * ' },
      { query: '-only' },
      { query: 'a*' },
      { query: '검*' },
      { query: 'x'.repeat(1_001) },
      { query: 'w '.repeat(33) },
      { userId: '' },
    ])
      await failure('invalid_value', stele.search({ ...known, ...wrong }), JSON.stringify(wrong))
  })

  test("nobody finds another's messages", async () => {
    const stele = await (await bed.place()).stele()
    const [first, second] = ['user 1', 'user 2']
    for (const userId of [first, second, 'ada']) await say(stele, [`a secret of ${userId}`], userId)
    for (const userId of [first, second, 'ada'])
      expect(await found(stele, 'secret', { userId })).toEqual([`a secret of ${userId}`])
    expect(await found(stele, 'secret', { userId: 'nobody' })).toEqual([])
    expect(await found(stele, `"secret of ${second}"`, { userId: first })).toEqual([])
  })

  test('any text is a query or a wrong value', async () => {
    const stele = await (await bed.place()).stele()
    await say(stele, texts)
    const odd = fc.string({
      unit: fc.constantFrom(...'ab"\'*-:^(){}|&!\\%_;,. Ａ東', '\0', '\n', '\u0301', '\ud800'),
      maxLength: 24,
    })
    await fc.assert(
      fc.asyncProperty(fc.oneof(odd, fc.string({ unit: 'binary', maxLength: 30 })), async query => {
        await stele.search({ userId: 'ada', query }).catch((error: unknown) => {
          if (!(error instanceof SteleError) || error.code !== 'invalid_value') throw error
        })
      }),
      { numRuns: 100 },
    )
  })

  test('what is found is what looking at every message finds', async () => {
    const stele = await (await bed.place()).stele()
    let users = 0
    await fc.assert(
      fc.asyncProperty(fc.array(sentence, { minLength: 1, maxLength: 5 }), queries, async (said, asked) => {
        const userId = `user-${users++}`
        // A number at the end tells messages apart.
        await say(
          stele,
          said.map(({ words, joint }, index) => [...words, `n${index}`].join(joint)),
          userId,
        )
        for (const items of asked) {
          const query = items.map(textOf).join(' ')
          if (items.every(({ isUnwanted }) => isUnwanted)) {
            await failure('invalid_value', stele.search({ userId, query }))
            continue
          }
          const expected = said.flatMap(({ words }, index) =>
            items.every(item => holds(words, item) !== item.isUnwanted) ? [`n${index}`] : [],
          )
          const hits = await found(stele, query, { userId })
          expect(hits.map(text => /n\d$/.exec(text)?.[0]).sort(), query).toEqual(expected)
        }
      }),
      { numRuns: 40 },
    )
  })
}

interface Item {
  readonly words: readonly string[]
  readonly isUnwanted: boolean
  readonly isPrefix: boolean
}

const word = fc.constantFrom('ab', 'abc', 'abcd', 'Ba', 'é', 'EÉ', 'ß', '7', 'ж')
const sentence = fc.record({
  words: fc.array(word, { minLength: 1, maxLength: 7 }),
  joint: fc.constantFrom(' ', ', ', ' - ', '\n', "'", '" ', '*', '_', ' \u00a0', '::'),
})
const items: fc.Arbitrary<Item> = fc.record({
  words: fc.array(word, { minLength: 1, maxLength: 3 }),
  isUnwanted: fc.boolean(),
  isPrefix: fc.boolean(),
})
const queries = fc.array(fc.array(items, { minLength: 1, maxLength: 3 }), { minLength: 3, maxLength: 6 })

/** Only what can go on: a phrase in quotes cannot, and one letter is too few. */
function goesOn({ words, isPrefix }: Item): boolean {
  return isPrefix && words.length === 1 && plain(words[0] ?? '').length > 1
}

function textOf(item: Item): string {
  const { words, isUnwanted } = item
  const text = words.length === 1 ? `${words[0]}${goesOn(item) ? '*' : ''}` : `"${words.join(' ')}"`
  return (isUnwanted ? '-' : '') + text
}

function plain(text: string): string {
  return text.toLowerCase().replaceAll('é', 'e').replaceAll('ß', 'ss')
}

function holds(words: readonly string[], item: Item): boolean {
  const wanted = item.words.map(plain)
  return words.some((_, at) =>
    wanted.every((each, index) => {
      const there = plain(words[at + index] ?? '')
      return goesOn(item) ? there.startsWith(each) : there === each
    }),
  )
}
