/** What takes a secret's place. */
const hidden = '[hidden]'

/** What looks like a secret, wherever it stands: passwords in URLs, keys, tokens. Each keeps what stands before it. */
const secrets: readonly (readonly [RegExp, string])[] = [
  [/(\b[a-z][a-z0-9+.-]*:\/\/)[^\s/?#@"']*@/gi, `$1${hidden}@`],
  [/(\b(?:bearer|basic)\s+)[\w.~+/=-]{8,}/gi, `$1${hidden}`],
  [/\bs[ks]-[\w-]{8,}/g, hidden],
  [/(\b(?:password|passphrase|secret|token|api[_-]?key)["']?\s*[=:]\s*["']?)[^\s"'&,;]+/gi, `$1${hidden}`],
]

/** A text that goes to the log, without the secrets that whoever wrote it may have put into it. */
export function withoutSecrets(text: string): string {
  return secrets.reduce((left, [pattern, instead]) => left.replace(pattern, instead), text)
}

/** Members of what is logged that are never said, at its top or one level down. */
export const unsaid = ['authorization', 'cookie', 'set-cookie', 'headers', 'apiKey', 'password'].flatMap(
  name => [`["${name}"]`, `*["${name}"]`],
)
