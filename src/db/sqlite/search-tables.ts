/** Where the messages are that words stand for. */
const messages = `CREATE TABLE message_search (
  id INTEGER PRIMARY KEY,
  user_id TEXT NOT NULL,
  conversation_id TEXT NOT NULL,
  seq INTEGER NOT NULL,
  role TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  UNIQUE (conversation_id, user_id, seq)
)`

/**
 * The first form of the search index: FTS5 keeps the terms alone (`content=''`), which were words then. Migrations make it
 * as it was.
 */
export const searchIndex = {
  make: [
    messages,
    `CREATE VIRTUAL TABLE message_words USING fts5(words, content='', contentless_delete=1, tokenize='ascii', prefix='7')`,
  ],
  remove: ['DROP TABLE message_words', 'DROP TABLE message_search'],
}

/** The form in use: tokens are words already, which the tokenizer `ascii` takes as they are, and never looked for by a part. */
export const blindSearchIndex = {
  make: [
    messages,
    `CREATE VIRTUAL TABLE message_words USING fts5(tokens, content='', contentless_delete=1, tokenize='ascii')`,
  ],
  remove: searchIndex.remove,
}
