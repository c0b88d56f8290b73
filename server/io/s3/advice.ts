/** What a person can do about a storage that did not do something. */
import { Failure } from '#shared/errors.ts'
import type { StorageStep } from '#shared/api/storages.ts'
import { statusOf } from './client.ts'

type Step = StorageStep['step']

const ALLOW: Readonly<Record<Step, string>> = {
  write: 's3:PutObject',
  look: 's3:GetObject',
  read: 's3:GetObject',
  range: 's3:GetObject',
  list: 's3:ListBucket',
  overwrite: 's3:PutObject',
  grant: 's3:PutObject',
  delete: 's3:DeleteObject',
  clock: 's3:GetObject',
}

const BY_NAME: Readonly<Record<string, string>> = {
  NoSuchBucket: 'Make the bucket, or correct its name or path_style.',
  InvalidAccessKeyId: 'Correct access_key_id: the storage does not know it.',
  SignatureDoesNotMatch: 'Correct secret_access_key: it is not that of the access key.',
  PermanentRedirect: 'Correct the region or the endpoint: the bucket lies elsewhere.',
  AuthorizationHeaderMalformed: 'Correct the region: the bucket lies in another one.',
  RequestTimeTooSkewed: 'Set the clocks of this machine and of the storage right.',
  ENOTFOUND: 'Correct the host name of the endpoint: it is not known here.',
  EAI_AGAIN: 'Check the name servers of this machine: the host name could not be looked up.',
  ECONNREFUSED: 'Check host and port of the endpoint: nothing listens there.',
  EHOSTUNREACH: 'Check the network: there is no way from here to the endpoint.',
  ENETUNREACH: 'Check the network: there is no way from here to the endpoint.',
  ECONNRESET: 'Check the scheme (http or https) and port of the endpoint.',
  EPROTO: 'Use http instead of https, or another port: what answers does not speak TLS.',
  ERR_TLS_CERT_ALTNAME_INVALID: 'Correct the host name: the certificate there is for another one.',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'Give this machine the certificate authority (NODE_EXTRA_CA_CERTS).',
  SELF_SIGNED_CERT_IN_CHAIN: 'Give this machine the certificate authority (NODE_EXTRA_CA_CERTS).',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    'Give this machine the certificate authority (NODE_EXTRA_CA_CERTS).',
  CERT_HAS_EXPIRED: 'Renew the certificate of the storage.',
}

const wordsOf = (error: unknown): readonly string[] => {
  if (!(error instanceof Error)) return []
  const code = 'code' in error && typeof error.code === 'string' ? [error.code] : []
  return [error.name, ...code]
}

/** Why, in the words of the store or of the network, and what to do. */
export const explain = (
  step: Step,
  error: unknown,
): { readonly problem: string; readonly advice: string } => {
  const cause = error instanceof Failure && error.cause !== undefined ? error.cause : error
  const problem =
    error instanceof Failure && typeof error.details['problem'] === 'string'
      ? error.details['problem']
      : wordsOf(error).join(' ')
  const known = wordsOf(cause).find((word) => Object.hasOwn(BY_NAME, word))
  const status = statusOf(cause)
  const byStatus = (): string => {
    if (status === 401 || status === 403)
      return `Check the access key, and allow it ${ALLOW[step]} on this bucket and prefix.`
    if (status === 404) return 'Check the names of endpoint and bucket, and path_style.'
    if (status !== null && status >= 500)
      return 'The storage is in trouble: look at it, and try again.'
    return 'Check that the endpoint is that of an S3-compatible storage.'
  }
  return { problem, advice: known === undefined ? byStatus() : (BY_NAME[known] ?? byStatus()) }
}
