import type { FilesState } from '../../audit/places/file-keeper.ts'
import type { Stele } from '../../stele.ts'
import type { Reading } from '../../telemetry/prometheus.ts'

/** Figures of the places where the audit log is taken to; those of files only where there are such. */
export function auditPlaceReadings({ auditPlaces }: Pick<Stele, 'auditPlaces'>): Reading[] {
  const ofFiles = (read: (files: FilesState) => number) => () =>
    auditPlaces.files === undefined ? [] : [{ value: read(auditPlaces.files) }]
  const ofPlaces = (count: 'published' | 'failures') => () =>
    Object.entries(auditPlaces.outside.places).map(([place, state]) => ({
      labels: { place },
      value: state[count],
    }))
  return [
    {
      name: 'stele_audit_files_lag_seconds',
      help: 'How long ago everything that was committed was in the files of the audit log.',
      together: 'max',
      read: ofFiles(({ lag }) => lag / 1000),
    },
    {
      name: 'stele_audit_files_failing',
      help: '1 while the files of the audit log cannot be written, or are not of this log.',
      together: 'max',
      read: ofFiles(({ state }) => (state === 'files_failing' || state === 'log_behind' ? 1 : 0)),
    },
    {
      name: 'stele_audit_files_events_total',
      help: 'Events that this process wrote into files.',
      type: 'counter',
      read: ofFiles(({ written }) => written),
    },
    {
      name: 'stele_audit_files_failures_total',
      help: 'Attempts to write the files that failed.',
      type: 'counter',
      read: ofFiles(({ failures }) => failures),
    },
    {
      name: 'stele_audit_files_tampered_total',
      help: 'Times that somebody else had changed a file of the audit log, or a part of it was gone.',
      type: 'counter',
      read: ofFiles(({ tampered }) => tampered),
    },
    {
      name: 'stele_audit_log_rolled_back',
      help: '1 while the audit log is not the one that checkpoints outside the database tell of.',
      together: 'max',
      read: () => [{ value: ['consistent', undefined].includes(auditPlaces.outside.standing) ? 0 : 1 }],
    },
    {
      name: 'stele_audit_checkpoints_published_total',
      help: 'Checkpoints of the audit log that left the database, by where they went.',
      type: 'counter',
      labels: ['place'],
      read: ofPlaces('published'),
    },
    {
      name: 'stele_audit_checkpoint_failures_total',
      help: 'Attempts to have one leave that failed.',
      type: 'counter',
      labels: ['place'],
      read: ofPlaces('failures'),
    },
  ]
}
