import { fail } from './errors.ts'

/** UUIDv7 in lower case. The brand keeps one kind of id from being used as another. */
export type Id<Kind extends string> = string & { readonly __id: Kind }

export type OrgId = Id<'organization'>
export type ProjectId = Id<'project'>
export type TokenId = Id<'token'>
export type ServerId = Id<'server'>
export type StorageId = Id<'storage'>
export type KeyId = Id<'encryption key'>
export type JobId = Id<'job'>
export type BackupId = Id<'backup'>
export type RestoreId = Id<'restore'>
export type OpenRequestId = Id<'open request'>
export type DownloadId = Id<'download'>
export type VerificationId = Id<'verification'>
export type VaultId = Id<'vault'>
export type MessageId = Id<'message'>

export const ID_PATTERN = '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$'
const ID = new RegExp(ID_PATTERN)

export const isId = (text: string): boolean => ID.test(text)

/** Throws `VALIDATION_FAILED` naming `field` unless `text` is a UUIDv7. */
export const parseId = <Kind extends string>(text: string, field: string): Id<Kind> => {
  if (!isId(text)) throw fail('VALIDATION_FAILED', { field, problem: 'is not a UUIDv7' })
  return text as Id<Kind>
}

/** A UUIDv7 (RFC 9562) from a time in ms and 10 random bytes. */
export const makeId = <Kind extends string>(now: number, random: Uint8Array): Id<Kind> => {
  const bytes = new Uint8Array(16)
  for (let i = 0; i < 6; i += 1) bytes[i] = Math.floor(now / 2 ** (8 * (5 - i))) % 256
  bytes.set(random.subarray(0, 10), 6)
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x70
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80
  const hex = Buffer.from(bytes).toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}` as Id<Kind>
}
