import type { DocumentTypeDefinition } from '../../src/index.ts'

/** A summary of a treatment for the person who is treated, as a dental practice would send it. */
export const treatmentSummary: DocumentTypeDefinition = {
  name: 'treatment_summary',
  version: '1.0',
  description: 'What is going to be done, in words for the patient.',
  model: 'gpt-4o',
  parameters: { temperature: 0.2 },
  prompt: {
    system: 'You write treatment summaries for patients of {{practice}}: {{tone}}, no jargon, no promises.',
    user: [
      'Treatment: {{treatment_type}}',
      'Patient: {{patient_name}}, {{age}} years old',
      '{{#duration_months}}Planned duration: {{duration_months}} months{{/duration_months}}',
      'Concerns:',
      '{{#concerns}}',
      '- {{.}}',
      '{{/concerns}}',
      '{{^concerns}}',
      '- none',
      '{{/concerns}}',
    ].join('\n'),
  },
  inputSchema: {
    type: 'object',
    properties: {
      practice: { type: 'string', minLength: 1 },
      tone: { enum: ['reassuring', 'concise', 'clinical'] },
      treatment_type: { type: 'string', minLength: 1 },
      patient_name: { type: 'string', minLength: 1 },
      age: { type: 'integer', minimum: 0, maximum: 130 },
      duration_months: { type: 'integer', minimum: 1 },
      concerns: { type: 'array', items: { type: 'string' } },
    },
    required: ['practice', 'tone', 'treatment_type', 'patient_name', 'age'],
    additionalProperties: false,
  },
  outputSchema: {
    type: 'object',
    properties: {
      title: { type: 'string' },
      summary: { type: 'string' },
      key_points: { type: 'array', items: { type: 'string' }, minItems: 1 },
      next_appointment: { type: 'string', format: 'date' },
    },
    required: ['title', 'summary', 'key_points', 'next_appointment'],
    additionalProperties: false,
  },
}
