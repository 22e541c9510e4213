import type { Command } from 'commander'
import type { GenerateDocumentOptions } from './commands/documents-generate.ts'
import type { DocumentHistoryOptions } from './commands/documents-history.ts'
import type { ListDocumentsOptions } from './commands/documents-list.ts'
import type { RegisterTypeOptions } from './commands/documents-register.ts'
import type { ShowDocumentOptions } from './commands/documents-show.ts'
import type { DocumentTotalsOptions } from './commands/documents-totals.ts'
import type { ListTypesOptions } from './commands/documents-types.ts'
import { parseLimit, parseTime } from './parse-arguments.ts'

/** Documents that models generate, and their types. */
export function documentCommands(program: Command): void {
  const documents = program
    .command('documents')
    .description('documents that models generate, and their types')
  documents
    .command('types')
    .description('list the document types, every version of each')
    .option('--json', 'print JSON, with schemas and prompts')
    .action(async (_options: unknown, command: Command) => {
      const { listTypes } = await import('./commands/documents-types.ts')
      await listTypes(command.optsWithGlobals<ListTypesOptions>())
    })
  documents
    .command('register <file>')
    .description('register a version of a document type from a JSON file; - reads stdin')
    .option('--json', 'print JSON')
    .action(async (file: string, _options: unknown, command: Command) => {
      const { registerType } = await import('./commands/documents-register.ts')
      await registerType(file, command.optsWithGlobals<RegisterTypeOptions>())
    })
  documents
    .command('list')
    .description("list a user's documents, newest first")
    .requiredOption('--user <id>', 'whose documents')
    .option('--type <name>', 'only documents of this type')
    .option('--status <status>', 'only documents that are in_progress, completed, failed or invalid')
    .option('--from <time>', 'only documents of this time (ISO 8601) or later', parseTime)
    .option('--to <time>', 'only documents before this time (ISO 8601)', parseTime)
    .option('--limit <number>', 'at most so many', parseLimit, 50)
    .option('--before <document>', 'only documents older than this one')
    .option('--json', 'print JSON')
    .action(async (_options: unknown, command: Command) => {
      const { listDocuments } = await import('./commands/documents-list.ts')
      await listDocuments(command.optsWithGlobals<ListDocumentsOptions>())
    })
  documents
    .command('show <id>')
    .description('show a document: what it was made of, what it says, and what it took')
    .option('--user <id>', 'whose document it is; finds it by its id alone when left out')
    .option('--json', 'print JSON')
    .action(async (id: string, _options: unknown, command: Command) => {
      const { showDocument } = await import('./commands/documents-show.ts')
      await showDocument(id, command.optsWithGlobals<ShowDocumentOptions>())
    })
  documents
    .command('history <id>')
    .description('list a document and all that were made in its place, the first one first')
    .option('--user <id>', 'whose document it is; finds it by its id alone when left out')
    .option('--json', 'print JSON')
    .action(async (id: string, _options: unknown, command: Command) => {
      const { documentHistory } = await import('./commands/documents-history.ts')
      await documentHistory(id, command.optsWithGlobals<DocumentHistoryOptions>())
    })
  documents
    .command('totals')
    .description('count documents by user and type: how they ended, and how long they took')
    .option('--user <id>', 'only documents of this user')
    .option('--type <name>', 'only documents of this type')
    .option('--from <time>', 'only documents of this time (ISO 8601) or later', parseTime)
    .option('--to <time>', 'only documents before this time (ISO 8601)', parseTime)
    .option('--json', 'print JSON')
    .action(async (_options: unknown, command: Command) => {
      const { showTotals } = await import('./commands/documents-totals.ts')
      await showTotals(command.optsWithGlobals<DocumentTotalsOptions>())
    })
  documents
    .command('generate <type>')
    .description('make a document from an input, which is read from stdin as JSON, and write it to stdout')
    .requiredOption('--user <id>', 'for whom')
    .option('--input <file>', 'JSON file to read the input from, instead of stdin')
    .option('--type-version <version>', 'version of the type; the last one that is valid when left out')
    .option(
      '--regenerates <document>',
      'document that it takes the place of; its input is used unless --input is given',
    )
    .option('--json', 'print the whole record as JSON')
    .action(async (type: string, _options: unknown, command: Command) => {
      const { generate } = await import('./commands/documents-generate.ts')
      await generate(type, command.optsWithGlobals<GenerateDocumentOptions>())
    })
}
