import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { makeIdentity } from '#shared/format/keys.ts'
import { errorOf } from '../../../support/answers.ts'
import { EMBEDDED } from '../../../support/http-app.ts'
import { apiForFile } from '../../../support/http-suite.ts'
import { newId } from '../../../support/http-objects.ts'

const { api } = apiForFile()

describe('what is refused', () => {
  const cases: readonly [
    promise: string,
    path: string,
    body: unknown,
    expected: { status: number; code: string; field?: string },
  ][] = [
    [
      'an unknown field, by name',
      '/v1/servers',
      { name: 'a', type: 'agent', colour: 'red' },
      { status: 400, code: 'VALIDATION_FAILED', field: 'colour' },
    ],
    [
      'an unknown field deep inside',
      '/v1/jobs',
      {
        name: 'a',
        server_id: newId(),
        storage_id: newId(),
        encryption_key_id: newId(),
        sources: [{ type: 'files', paths: ['/a'], depth: 1 }],
      },
      { status: 400, code: 'VALIDATION_FAILED', field: 'sources.0.depth' },
    ],
    [
      'a missing field',
      '/v1/servers',
      { type: 'agent' },
      { status: 400, code: 'VALIDATION_FAILED', field: 'name' },
    ],
    [
      'no body where there must be one',
      '/v1/servers',
      undefined,
      { status: 400, code: 'VALIDATION_FAILED', field: 'name' },
    ],
    [
      'a name of 201 characters',
      '/v1/servers',
      { name: 'n'.repeat(201), type: 'agent' },
      { status: 400, code: 'VALIDATION_FAILED', field: 'name' },
    ],
    [
      'what is not JSON',
      '/v1/servers',
      '{"name":',
      { status: 400, code: 'VALIDATION_FAILED', field: 'body' },
    ],
    [
      'a body that pollutes prototypes',
      '/v1/servers',
      '{"name":"a","type":"agent","__proto__":{"x":1}}',
      { status: 400, code: 'VALIDATION_FAILED', field: 'body' },
    ],
    [
      'a relative path of a source',
      '/v1/jobs',
      {
        name: 'a',
        server_id: newId(),
        storage_id: newId(),
        encryption_key_id: newId(),
        sources: [{ type: 'files', paths: ['etc'] }],
      },
      { status: 400, code: 'VALIDATION_FAILED', field: 'sources.0.paths.0' },
    ],
    [
      'an id that is no UUID',
      '/v1/jobs/nope/backups',
      undefined,
      { status: 400, code: 'VALIDATION_FAILED', field: 'id' },
    ],
    [
      'a recipient whose checksum is wrong',
      '/v1/encryption-keys',
      { name: 'c', type: 'customer', recipient: `age1${'q'.repeat(58)}` },
      { status: 400, code: 'VALIDATION_FAILED', field: 'recipient' },
    ],
    [
      'a recipient for a managed key',
      '/v1/encryption-keys',
      {
        name: 'm',
        type: 'managed',
        recipient: makeIdentity(randomBytes(32)).recipient.text,
      },
      { status: 400, code: 'VALIDATION_FAILED', field: 'recipient' },
    ],
    [
      'a prefix that climbs',
      '/v1/storages',
      { ...EMBEDDED, name: 's', prefix: 'a/../b' },
      { status: 400, code: 'VALIDATION_FAILED', field: 'prefix' },
    ],
    [
      'an endpoint with a path',
      '/v1/storages',
      { ...EMBEDDED, name: 's', endpoint: 'https://s3.example.com/x' },
      { status: 400, code: 'VALIDATION_FAILED', field: 'endpoint' },
    ],
    [
      'an object that is not there, as 404',
      '/v1/jobs/00000000-0000-0000-0000-000000000000/backups',
      undefined,
      { status: 404, code: 'RESOURCE_NOT_FOUND' },
    ],
    [
      'a name that is taken, as 409',
      '/v1/storages',
      EMBEDDED,
      { status: 409, code: 'CONFLICT', field: 'name' },
    ],
    [
      'a body above 1 MiB, as 413',
      '/v1/servers',
      { name: 'n'.repeat(1024 * 1024), type: 'agent' },
      { status: 413, code: 'PAYLOAD_TOO_LARGE' },
    ],
  ]

  test.each(cases)('%s', async (_promise, path, body, { status, code, field }) => {
    const answer = await api.call('POST', path, { body })
    expect([answer.status, errorOf(answer).code]).toEqual([status, code])
    expect(errorOf(answer).message).toMatch(/\.$/)
    expect(answer.body['request_id']).toBe('made-request-id')
    if (field !== undefined) expect(errorOf(answer).details['field']).toBe(field)
  })

  test('a form, with the media type to send instead', async () => {
    const response = await api.app.inject({
      method: 'POST',
      url: '/v1/servers',
      headers: {
        authorization: `Bearer ${api.token}`,
        'content-type': 'application/x-www-form-urlencoded',
      },
      payload: 'name=a',
    })
    expect(response.statusCode).toBe(415)
    expect(response.body).toContain('application/json')
  })

  test('queries that no list knows', async () => {
    for (const query of [
      'limit=0',
      'limit=101',
      'limit=x',
      'sort=colour',
      'colour=red',
      'cursor=AAAA',
    ]) {
      const answer = await api.call('GET', `/v1/servers?${query}`)
      expect([query, answer.status]).toEqual([query, 400])
    }
  })

  test('a path that is no route, in the same envelope', async () => {
    const answer = await api.call('GET', '/v1/nothing', { token: null })
    expect(answer.status).toBe(404)
    expect(errorOf(answer).code).toBe('RESOURCE_NOT_FOUND')
    expect((await api.call('GET', '/v1/%zz', { token: null })).status).toBe(400)
  })
})
