import { DatabaseSync } from 'node:sqlite'
import { parentPort, workerData } from 'node:worker_threads'

/** Commits every text that it is told as one row, durably, and says so; ends when it is told nothing. */
const database = new DatabaseSync(workerData as string)
database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE said (text TEXT)')
const insert = database.prepare('INSERT INTO said VALUES (?)')
parentPort?.on('message', (text: string | undefined) => {
  if (text === undefined) {
    database.close()
    parentPort?.close()
    return
  }
  insert.run(text)
  parentPort?.postMessage(true)
})
