import { nationalId } from './pii-ids.ts'
import {
  address,
  apiKey,
  below,
  type Chance,
  card,
  cardLike,
  credentialUrl,
  dateText,
  digits,
  email,
  firstNames,
  iban,
  ipv4,
  ipv6,
  jwt,
  lastNames,
  mac,
  passport,
  phone,
  pick,
  privateKey,
  seeded,
  sha,
  ssn,
} from './pii-values.ts'

/** A text and what in it is to be masked. */
export interface LabelledText {
  readonly text: string
  readonly labels: readonly { readonly kind: string; readonly start: number; readonly end: number }[]
}

interface Part {
  readonly kind?: string
  readonly text: string
}

const is = (kind: string, text: string): Part => ({ kind, text })
const name = (chance: Chance): string => `${pick(chance, firstNames)} ${pick(chance, lastNames)}`

/** A sentence with something in it that is to be masked. `%` is where that stands. */
function telling(chance: Chance): Part[] {
  const kinds: readonly (() => Part[])[] = [
    () =>
      around(chance, is('EMAIL', email(chance)), [
        'You can reach me at %.',
        'cc: %, thanks',
        `${name(chance)} <%> wrote:`,
        'My e-mail (%) has changed.',
        '{"email":"%","active":true}',
        'mailto:% please',
      ]),
    () => {
      const { value, isPlain } = phone(chance)
      return around(
        chance,
        is('PHONE', value),
        isPlain
          ? ['Phone: %', 'call me at % after six', 'Tel. %', 'My mobile number is %.']
          : [
              'Call % for details.',
              `${name(chance)}, %`,
              'Fax: %',
              'You may text % too.',
              'My number is %, any time.',
              '| support | % |',
            ],
      )
    },
    () =>
      around(chance, is('CARD', card(chance)), [
        'Charge it to % please.',
        'card number: %',
        'I paid with %, exp 04/27.',
        '{"pan":"%"}',
        'Visa % was declined',
      ]),
    () =>
      around(chance, is('IBAN', iban(chance)), [
        'IBAN: %',
        'Transfer it to % by Monday.',
        'account % at my bank',
        '"iban": "%"',
      ]),
    () =>
      around(chance, is('SSN', ssn(chance)), [
        'SSN: %',
        'my social is %,',
        'Social Security number % was on the form.',
        'ssn=% dob withheld',
      ]),
    () => {
      const { before, value } = nationalId(chance)
      return around(chance, is('NATIONAL_ID', value), [
        `${before}: %`,
        `My ${before} is %.`,
        `${before} % belongs to ${name(chance)}.`,
      ])
    },
    () =>
      around(chance, is('IP_ADDRESS', chance() < 0.6 ? ipv4(chance) : ipv6(chance)), [
        'Login from % failed.',
        'client_ip=% status=200',
        'The host at % does not answer.',
        '% - - [10/Oct/2025:13:55:36 +0000] "GET / HTTP/1.1" 200',
        'ping % twice',
      ]),
    () =>
      around(chance, is('MAC_ADDRESS', mac(chance)), [
        'The device % joined.',
        'ether % txqueuelen 1000',
        'MAC: %',
      ]),
    () =>
      around(chance, is('URL', credentialUrl(chance)), [
        'DATABASE=%',
        'I connect to % from here.',
        'curl -s %',
        'url: "%"',
      ]),
    () =>
      around(chance, is('BIRTH_DATE', dateText(chance)), [
        'Date of birth: %',
        'She was born on %.',
        'DOB %',
        `${name(chance)}, born %, lives here.`,
        'My birthday is %.',
      ]),
    () =>
      around(chance, is('PASSPORT', passport(chance)), [
        'Passport number: %',
        'My passport is %.',
        'passport no. %, valid until 2031',
        `${name(chance)} (passport %)`,
      ]),
    () =>
      around(chance, is('ADDRESS', address(chance)), [
        'I live at %.',
        'Ship it to %\n',
        'Address: %',
        'The office is at %, second floor.',
      ]),
    () => {
      const { before, value } = apiKey(chance)
      return around(
        chance,
        is('API_KEY', value),
        before === ''
          ? ['Use % for now.', 'export KEY=%', 'key: "%"', 'I leaked % on GitHub!']
          : [`${before}%`, `I set ${before}% and it fails`],
      )
    },
    () =>
      around(chance, is('JWT', jwt(chance)), [
        'Authorization: Bearer %',
        'The token % has expired.',
        '{"token":"%"}',
      ]),
    () =>
      around(chance, is('PRIVATE_KEY', privateKey(chance)), [
        'Here it is:\n%\nkeep it safe',
        '%',
        'id_rsa:\n%\n',
      ]),
  ]
  return pick(chance, kinds)()
}

function around(chance: Chance, part: Part, frames: readonly string[]): Part[] {
  const [before = '', after = ''] = pick(chance, frames).split('%')
  return [{ text: before }, part, { text: after }]
}

/** A sentence that looks as if there were something in it. */
function misleading(chance: Chance): string {
  const number = below(chance, 90_000) + 10_000
  return pick(chance, [
    `Order ${cardLike(chance)} has shipped.`,
    `Order number ${digits(chance, 10)} is late.`,
    `Upgrade to version ${below(chance, 20)}.${below(chance, 20)}.${below(chance, 20)}.${below(chance, 20)} first.`,
    `It broke in v${below(chance, 9)}.${below(chance, 30)}.${below(chance, 30)} and works in ${below(chance, 9)}.${below(chance, 30)}.`,
    `See commit ${sha(chance, 40)} for the fix.`,
    `md5 ${sha(chance, 32)}, sha256 ${sha(chance, 64)}`,
    `Request ${sha(chance, 8)}-${sha(chance, 4)}-4${sha(chance, 3)}-a${sha(chance, 3)}-${sha(chance, 12)} timed out.`,
    `The meeting is on ${dateText(chance, [2025, 1 + below(chance, 12), 1 + below(chance, 28)])} at 10:30.`,
    `Released ${dateText(chance, [2024, 3, 14])}, deprecated ${dateText(chance, [2025, 9, 1])}.`,
    `It costs $${number}.99, or €${below(chance, 9)},${digits(chance, 3)}.00 a year.`,
    `const limit = ${number * 1000}; // about ${number} MB`,
    `for (let i = 0; i < ${number}; i++) total += prices[i] * 1.19;`,
    `Install lodash@4.17.${below(chance, 30)} and @types/node@${below(chance, 30)}.1.0 with npm.`,
    `git clone git@github.com:acme/tools.git && cd tools`,
    `std::vector<int> values{${digits(chance, 3)}, ${digits(chance, 3)}, ${digits(chance, 4)}};`,
    `At 12:30:45 the queue held ${digits(chance, 7)} jobs.`,
    `Pi is 3.14159265358979 and e is 2.71828182845905.`,
    `ISBN 978-3-16-148410-0, section 3.2.1.4, page ${below(chance, 900)}.`,
    `The ratio was ${below(chance, 100)}:${below(chance, 100)}, up from ${below(chance, 100)}%.`,
    `invoice no. INV-${digits(chance, 6)}-${digits(chance, 4)}, ticket #${digits(chance, 8)}`,
    `tracking 1Z999AA1${digits(chance, 10)}, part number ${digits(chance, 4)}-${digits(chance, 5)}`,
    `The 3 Best Ways to learn, in ${below(chance, 12) + 2} Easy Steps.`,
    `timestamp=${1_600_000_000_000 + below(chance, 200_000_000)} level=info`,
    `The token limit is 8192 tokens; the key idea is secret sharing.`,
    `x = [${digits(chance, 2)}.${digits(chance, 4)}, -${digits(chance, 1)}.${digits(chance, 6)}e-05]`,
    `Call the function parse_${digits(chance, 4)} with 12345678 items.`,
    `The album of 1989 sold 10,000,000 copies by ${2000 + below(chance, 25)}.`,
    `The passport office opens at 9, room 1204.`,
    `{ attempt: ${below(chance, 9)}, routeMode: 'retry', streetView: false }`,
    `It listens on http://127.0.0.1:${1024 + below(chance, 60_000)}/ and on [::1].`,
    `He was born in Boston and moved 3 times.`,
  ])
}

const fillers = [
  'Could you help me write a short reply?',
  'The quick brown fox jumps over the lazy dog while everybody watches.',
  'Please summarise what follows in two sentences and keep the tone friendly.',
  'I have been a customer for many years and never had such a problem before.',
  'The model should explain each step and say where it is not sure.',
  'It rained all day, so we stayed inside and read about the history of computing.',
]

/** Texts as people write them to a model, the same for the same seed. */
export function piiCorpus(documents: number, seed: number): LabelledText[] {
  const chance = seeded(seed)
  return Array.from({ length: documents }, () => {
    let text = ''
    const labels: { kind: string; start: number; end: number }[] = []
    for (let sentences = 2 + below(chance, 5); sentences > 0; sentences--) {
      const dice = chance()
      const parts: Part[] =
        dice < 0.4 ? telling(chance) : [{ text: dice < 0.7 ? misleading(chance) : pick(chance, fillers) }]
      for (const { kind, text: piece } of parts) {
        if (kind !== undefined) labels.push({ kind, start: text.length, end: text.length + piece.length })
        text += piece
      }
      text += chance() < 0.3 ? '\n' : ' '
    }
    return { text, labels }
  })
}
