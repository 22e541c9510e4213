/**
 * Made-up values of what is told of people, with check digits where there are any. Nothing here is shared with what finds
 * them: forms, lists and checks are this file's own.
 */

/** A number from 0 up to but not including 1. */
export type Chance = () => number

/** The same numbers for the same seed (mulberry32). */
export function seeded(seed: number): Chance {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

export const below = (chance: Chance, limit: number): number => Math.floor(chance() * limit)
export function pick<T>(chance: Chance, list: readonly T[]): T {
  const one = list[below(chance, list.length)]
  if (one === undefined) throw new Error('the list is empty')
  return one
}
export const from = (chance: Chance, letters: string, count: number): string =>
  Array.from({ length: count }, () => letters.charAt(below(chance, letters.length))).join('')
export const digits = (chance: Chance, count: number): string => from(chance, '0123456789', count)
const hex = (chance: Chance, count: number): string => from(chance, '0123456789abcdef', count)
export const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'
const mixed = `${letters}${letters.toLowerCase()}0123456789`
export const two = (number: number): string => String(number).padStart(2, '0')
export const between = (chance: Chance, least: number, most: number): number =>
  least + below(chance, most - least + 1)

export const firstNames = [
  'Ada',
  'Grace',
  'Alan',
  'Edsger',
  'Barbara',
  'Donald',
  'Lynn',
  'Katherine',
  'Zoë',
  'Jürgen',
  'María',
  'Oluwaseun',
  'Mei',
  'Priya',
  'Tom',
  'Siobhán',
]
export const lastNames = [
  'Lovelace',
  'Hopper',
  'Turing',
  'Dijkstra',
  'Liskov',
  'Knuth',
  'Conway',
  'Johnson',
  'Müller',
  'García',
  'Okafor',
  'Chen',
  'Sharma',
  "O'Neill",
  'Kowalski',
  'Rossi',
]
const hosts = [
  'example',
  'mailbox',
  'acme-corp',
  'uni-bonn',
  'fastpost',
  'north.wind',
  'k8s-labs',
  'citizens',
]
const endings = ['com', 'org', 'net', 'de', 'co.uk', 'io', 'fr', 'edu', 'com.br', 'museum']
const plain = (text: string): string =>
  text
    .normalize('NFD')
    .replace(/[^A-Za-z]/g, '')
    .toLowerCase()

export function email(chance: Chance): string {
  const [first, last] = [plain(pick(chance, firstNames)), plain(pick(chance, lastNames))]
  const local = pick(chance, [
    `${first}.${last}`,
    `${first.charAt(0)}${last}`,
    `${first}_${last}${digits(chance, 2)}`,
    `${first}+${last}`,
    `${last}-${first}`,
    `${first}${digits(chance, 4)}`,
  ])
  const address = `${local}@${pick(chance, hosts)}.${pick(chance, endings)}`
  return chance() < 0.1 ? address.toUpperCase() : address
}

export function luhn(payload: string): string {
  let sum = 0
  for (let at = 0; at < payload.length; at++) {
    let value = Number(payload.charAt(payload.length - 1 - at))
    if (at % 2 === 0) value = value * 2 > 9 ? value * 2 - 9 : value * 2
    sum += value
  }
  return String((10 - (sum % 10)) % 10)
}

export function card(chance: Chance): string {
  const [prefix, length] = pick(chance, [
    ['4', 16],
    ['51', 16],
    ['55', 16],
    ['2221', 16],
    ['34', 15],
    ['37', 15],
    ['6011', 16],
    ['3528', 16],
  ] as const)
  const payload = prefix + digits(chance, length - 1 - prefix.length)
  const number = payload + luhn(payload)
  const groups =
    length === 15
      ? [number.slice(0, 4), number.slice(4, 10), number.slice(10)]
      : (number.match(/.{4}/g) ?? [])
  return groups.join(pick(chance, ['', ' ', '-', ' ']))
}

/** Sixteen digits that look like a card's and are none. */
export function cardLike(chance: Chance): string {
  const payload = `4${digits(chance, 14)}`
  return payload + ((Number(luhn(payload)) + between(chance, 1, 9)) % 10)
}

export function iban(chance: Chance): string {
  const [country, form] = pick(chance, [
    ['DE', 'n18'],
    ['FR', 'n23'],
    ['GB', 'a4n14'],
    ['NL', 'a4n10'],
    ['ES', 'n20'],
    ['AT', 'n16'],
    ['CH', 'n17'],
    ['PL', 'n24'],
    ['BE', 'n12'],
  ] as const)
  const account = form.replace(/([an])(\d+)/g, (_, kind: string, count: string) =>
    kind === 'n' ? digits(chance, Number(count)) : from(chance, letters, Number(count)),
  )
  const number = [...`${account}${country}00`]
    .map(one => (/\d/.test(one) ? one : String(one.charCodeAt(0) - 55)))
    .join('')
  const whole = `${country}${two(98 - Number(BigInt(number) % 97n))}${account}`
  return chance() < 0.5 ? whole : (whole.match(/.{1,4}/g) ?? []).join(' ')
}

export function ssn(chance: Chance): string {
  const area = pick(chance, [between(chance, 1, 665), between(chance, 667, 899)])
  return [
    String(area).padStart(3, '0'),
    two(between(chance, 1, 99)),
    String(between(chance, 1, 9999)).padStart(4, '0'),
  ].join(chance() < 0.85 ? '-' : ' ')
}

export const day = (chance: Chance): [year: number, month: number, day: number] => [
  between(chance, 1932, 2006),
  between(chance, 1, 12),
  between(chance, 1, 28),
]

export const ipv4 = (chance: Chance): string =>
  [
    pick(chance, [between(chance, 11, 126), between(chance, 128, 223)]),
    below(chance, 256),
    below(chance, 256),
    between(chance, 1, 254),
  ].join('.')

export function ipv6(chance: Chance): string {
  const groups = Array.from({ length: 8 }, () => hex(chance, between(chance, 1, 4)).replace(/^0+(?=.)/, ''))
  return pick(chance, [
    groups.join(':'),
    `2001:db8::${groups[0]}:${groups[1]}`,
    `fe80::${hex(chance, 3)}1:${groups[2]}`,
  ])
}

export const mac = (chance: Chance): string => {
  const address = Array.from({ length: 6 }, () => hex(chance, 2)).join(pick(chance, [':', '-', ':']))
  return chance() < 0.5 ? address.toUpperCase() : address
}

export const credentialUrl = (chance: Chance): string =>
  `${pick(chance, ['https', 'postgres', 'ftp', 'redis', 'mongodb+srv', 'amqp'])}://${pick(chance, ['admin', 'svc_app', 'root', 'deploy'])}:${from(chance, mixed, 12)}@${pick(chance, hosts)}.${pick(chance, ['com', 'internal', 'net'])}${pick(chance, ['', ':5432', ':8443'])}/${pick(chance, ['', 'main', 'v1/items?page=2'])}`

const months = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
]

export function dateText(chance: Chance, [year, month, date] = day(chance)): string {
  const name = months[month - 1] ?? ''
  return pick(chance, [
    `${year}-${two(month)}-${two(date)}`,
    `${two(date)}/${two(month)}/${year}`,
    `${month}/${date}/${year}`,
    `${two(date)}.${two(month)}.${year}`,
    `${name} ${date}, ${year}`,
    `${date} ${name} ${year}`,
    `${date} ${name.slice(0, 3)} ${year}`,
  ])
}

export const passport = (chance: Chance): string =>
  pick(chance, [
    `${from(chance, letters, 1)}${digits(chance, 8)}`,
    digits(chance, 9),
    `${from(chance, letters, 2)}${digits(chance, 7)}`,
    `${from(chance, 'CFGHJK', 1)}${digits(chance, 2)}${from(chance, 'CFGHJKLMNPRTVWXYZ', 1)}${digits(chance, 5)}`,
  ])

/** A telephone number; those without their country's number or a familiar form come with a word for it. */
export function phone(chance: Chance): { value: string; isPlain: boolean } {
  const us = `${pick(chance, ['212', '415', '617', '702', '305', '206'])}`
  const [exchange, line] = [
    `${between(chance, 2, 9)}${digits(chance, 2)}`.replace(/^(.)11$/, '$112'),
    digits(chance, 4),
  ]
  return pick(chance, [
    { value: `(${us}) ${exchange}-${line}`, isPlain: false },
    { value: `${us}-${exchange}-${line}`, isPlain: false },
    { value: `${us}.${exchange}.${line}`, isPlain: false },
    { value: `+1 ${us} ${exchange} ${line}`, isPlain: false },
    { value: `+1-${us}-${exchange}-${line}`, isPlain: false },
    { value: `+44 20 7${digits(chance, 3)} ${digits(chance, 4)}`, isPlain: false },
    { value: `+44 7911 ${digits(chance, 6)}`, isPlain: false },
    { value: `+49 30 ${between(chance, 2, 9)}${digits(chance, 6)}`, isPlain: false },
    {
      value: `+33 6 ${digits(chance, 2)} ${digits(chance, 2)} ${digits(chance, 2)} ${digits(chance, 2)}`,
      isPlain: false,
    },
    { value: `+91 98${digits(chance, 3)} ${digits(chance, 5)}`, isPlain: false },
    { value: `+81 90-${digits(chance, 4)}-${digits(chance, 4)}`, isPlain: false },
    { value: `020 7${digits(chance, 3)} ${digits(chance, 4)}`, isPlain: false },
    { value: `0${between(chance, 30, 89)} ${digits(chance, 7)}`, isPlain: true },
    { value: us + exchange + line, isPlain: true },
    { value: `${us} ${exchange} ${line}`, isPlain: false },
  ])
}

const streets = [
  'Maple',
  'Oak Hill',
  'Washington',
  'Elm',
  'Lakeview',
  'Cedar',
  "King's",
  'Station',
  'North Park',
  'Martin Luther King',
]
const cities = [
  ['Springfield', 'IL', '62704'],
  ['Portland', 'OR', '97201'],
  ['Austin', 'TX', '78701'],
  ['New Haven', 'CT', '06510'],
] as const

export function address(chance: Chance): string {
  const number = between(chance, 1, 9999)
  const street = `${number} ${pick(chance, streets)} ${pick(chance, ['Street', 'St', 'Avenue', 'Ave.', 'Road', 'Rd', 'Blvd', 'Lane', 'Drive', 'Court', 'Way'])}`
  const [city, state, zip] = pick(chance, cities)
  return pick(chance, [
    `${street}, ${city}, ${state} ${zip}`,
    `${street}, Apt ${between(chance, 1, 40)}, ${city}, ${state} ${zip}`,
    `${between(chance, 1, 200)} ${pick(chance, ['Baker', 'Fleet', 'High', 'Church'])} ${pick(chance, ['Street', 'Road'])}, London ${pick(chance, ['NW1 6XE', 'EC4A 2HT', 'W1U 8EW'])}`,
    `${pick(chance, ['Haupt', 'Garten', 'Schiller', 'Bahnhof'])}${pick(chance, ['straße', 'strasse', 'weg'])} ${between(chance, 1, 120)}, ${digits(chance, 5)} ${pick(chance, ['Berlin', 'Köln', 'Hamburg'])}`,
    `${between(chance, 1, 90)} rue ${pick(chance, ['de la Paix', 'Victor Hugo', 'du Moulin'])}, 75${digits(chance, 3)} Paris`,
    `P.O. Box ${between(chance, 10, 9999)}, ${city}, ${state} ${zip}`,
  ])
}

export function apiKey(chance: Chance): { before: string; value: string } {
  return pick(chance, [
    { before: '', value: `sk-proj-${from(chance, mixed, 48)}` },
    { before: '', value: `sk_live_${from(chance, mixed, 24)}` },
    { before: '', value: `ghp_${from(chance, mixed, 36)}` },
    { before: '', value: `AKIA${from(chance, `${letters}234567`, 16)}` },
    { before: '', value: `xoxb-${digits(chance, 12)}-${from(chance, mixed, 24)}` },
    { before: '', value: `AIza${from(chance, mixed, 35)}` },
    { before: '', value: `glpat-${from(chance, mixed, 20)}` },
    { before: '', value: `hf_${from(chance, mixed, 34)}` },
    { before: 'api_key=', value: hex(chance, 32) },
    { before: 'Authorization: Bearer ', value: from(chance, mixed, 40) },
    { before: 'client_secret: ', value: from(chance, mixed, 32) },
  ])
}

const encoded = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
export const jwt = (chance: Chance): string =>
  `${encoded({ alg: 'HS256', typ: 'JWT' })}.${encoded({ sub: digits(chance, 10), name: pick(chance, firstNames), iat: 1_700_000_000 + below(chance, 9_999_999) })}.${from(chance, `${mixed}-_`, 43)}`

export function privateKey(chance: Chance): string {
  const kind = pick(chance, ['', 'RSA ', 'EC ', 'OPENSSH '])
  const lines = Array.from({ length: between(chance, 3, 12) }, () => from(chance, `${mixed}+/`, 64))
  return [`-----BEGIN ${kind}PRIVATE KEY-----`, ...lines, `-----END ${kind}PRIVATE KEY-----`].join('\n')
}

export const sha = (chance: Chance, length: number): string => hex(chance, length)
