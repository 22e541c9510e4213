import type { ExportedEvent } from '../export-line.ts'
import { entryObject } from './entry-object.ts'

/**
 * An event as CloudEvents 1.0 in JSON (https://github.com/cloudevents/spec). Its id is its place in the log: within one log, which
 * is its source, there is no other of that id. `data` is the entry as an export has it, so that it can be proven still.
 */
export function cloudEventLine(entry: ExportedEvent, origin: string): string {
  const { index, event } = entry
  return JSON.stringify({
    specversion: '1.0',
    id: String(index),
    source: encodeURI(origin),
    type: `stele.audit.${event.action}`,
    subject: event.target === null || event.target === '' ? undefined : event.target,
    time: new Date(event.created_at).toISOString(),
    datacontenttype: 'application/json',
    data: entryObject(entry),
  })
}
