/**
 * The first form of the search index, whose terms were words. Without the list of pending entries, which every search would
 * read from end to end: the index is written in the background. Migrations make it as it was.
 */
export const searchIndex = {
  make: [
    `CREATE TABLE message_search (
      user_id text COLLATE "C" NOT NULL,
      conversation_id text COLLATE "C" NOT NULL,
      seq bigint NOT NULL,
      role text COLLATE "C" NOT NULL,
      created_at bigint NOT NULL,
      words tsvector NOT NULL,
      PRIMARY KEY (conversation_id, user_id, seq)
    )`,
    'CREATE INDEX message_search_words ON message_search USING gin (words) WITH (fastupdate = off)',
  ],
  remove: ['DROP TABLE message_search'],
}

/** The form in use: tokens are lexemes as they are, without a dictionary. The newest messages of a user are looked at first. */
export const blindSearchIndex = {
  make: [
    `CREATE TABLE message_search (
      user_id text COLLATE "C" NOT NULL,
      conversation_id text COLLATE "C" NOT NULL,
      seq bigint NOT NULL,
      role text COLLATE "C" NOT NULL,
      created_at bigint NOT NULL,
      tokens tsvector NOT NULL,
      PRIMARY KEY (conversation_id, user_id, seq)
    )`,
    'CREATE INDEX message_search_tokens ON message_search USING gin (tokens) WITH (fastupdate = off)',
    'CREATE INDEX message_search_newest ON message_search (user_id, created_at, conversation_id, seq)',
  ],
  remove: searchIndex.remove,
}
