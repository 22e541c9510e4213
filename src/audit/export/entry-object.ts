import { type ExportedEvent, eventLine } from '../export-line.ts'

/** An entry as an export has it, as an object: its members, written again in their order, are the line. */
export function entryObject(entry: ExportedEvent): Readonly<Record<string, unknown>> {
  return JSON.parse(eventLine(entry)) as Readonly<Record<string, unknown>>
}
