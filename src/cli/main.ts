#!/usr/bin/env node
import { reportCrash, run } from './boundary.ts'

process.on('uncaughtException', error => void reportCrash(error))
process.exitCode = await run(process.argv.slice(2))
// Everything is closed and written by now; should a handle have been left open all the same, the process must still end.
setTimeout(() => process.exit(), 3_000).unref()
