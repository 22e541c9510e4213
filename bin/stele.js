#!/usr/bin/env node
// The command in a clone runs the sources as they are, in the published package the build.
import { existsSync } from 'node:fs'

if (Number.parseInt(process.versions.node, 10) < 24) {
  console.error(`Stele needs Node 24 or later; this is ${process.versions.node}.`)
  process.exit(1)
}
const source = new URL('../src/cli/main.ts', import.meta.url)
await import(existsSync(source) ? source.href : new URL('../dist/cli/main.js', import.meta.url).href)
