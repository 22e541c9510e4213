export { type ApplicationEvent, newAuditEventId } from './audit/events/application-event.ts'
export type { NewAuditLog } from './audit/events/logger.ts'
export type { AnswerCache } from './cache/cache.ts'
export type { CacheLimits } from './cache/limits.ts'
export type { DocumentTypeDefinition } from './documents/definition.ts'
export type { RegisteredDocumentType } from './documents/library.ts'
export type { DocumentRequest } from './documents/lookup.ts'
export { type ErrorCode, errorTable, SteleError } from './errors.ts'
export {
  type DocumentGenerator,
  type DocumentGeneratorOptions,
  documentGenerator,
  type NewDocument,
} from './gateway/documents/generator.ts'
export type { NewContextSnapshot } from './library/context-snapshots.ts'
export {
  ConversationMemory,
  type ConversationMemoryOptions,
  type MemoryHistory,
  type MemoryMessage,
  type MemoryStats,
  type MemoryWindow,
} from './library/conversation-memory.ts'
export type { ConversationChange, ConversationFields, NewConversation } from './library/conversations.ts'
export type { TokenCounter } from './library/message-window.ts'
export type { MessageAppend, MessageChange } from './library/messages.ts'
export type { UserChange } from './library/users.ts'
export type { CapChange, CapName, Caps } from './limits/caps.ts'
export type { LimitOptions, Limits } from './limits/service.ts'
export type { Limit, LimitFilter } from './limits/store.ts'
export type { LimitTarget } from './limits/targets.ts'
export type { BegunCall, CallStatus, Outcome, RouteMode, SettledCall } from './model/call.ts'
export type { JsonObject } from './model/json-object.ts'
export type { MessageInput } from './model/message-input.ts'
export type { AssistantMessage, Reply, Usage } from './model/reply.ts'
export type { BackupContents, BackupOptions } from './moving/backup.ts'
export type { BeginInput } from './recorder/begin-input.ts'
export type { Interaction } from './recorder/interaction.ts'
export type { Recorder } from './recorder/recorder.ts'
export type { SearchResult } from './recorder/search.ts'
export type { RetentionDefaults, RetentionPeriods } from './retention/periods.ts'
export type { RetentionPolicy } from './retention/policies.ts'
export type { RetentionReport } from './retention/run.ts'
export type { Retention, RetentionCounts, RetentionRunOptions } from './retention/service.ts'
export type { Tally } from './retention/tally.ts'
export { openStele, type Stele, type SteleOptions } from './stele.ts'
export type { ApiKey, Scope } from './store/api-keys.ts'
export type { AuditConditions } from './store/audit-queries.ts'
export type { AuditEvent, AuditFilter, AuditPage } from './store/audit-reading.ts'
export type { AuditCount } from './store/audit-stats.ts'
export type { CacheStats } from './store/cache-entries.ts'
export type { Call, CallFilter } from './store/calls.ts'
export type { ContextSnapshot } from './store/context-snapshots.ts'
export type { ConversationTotals } from './store/conversation-totals.ts'
export type { Conversation, ConversationFilter, ListPlace } from './store/conversations.ts'
export type { DocumentTotals, DocumentTotalsFilter } from './store/document-totals.ts'
export type { StoredDocument } from './store/documents.ts'
export type { Message, MessagePage } from './store/messages.ts'
export type { SearchHit, SearchInput } from './store/search.ts'
export type { User } from './store/users.ts'
