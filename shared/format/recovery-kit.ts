/**
 * The recovery kit: a text that a person keeps on paper. It is at the same time an age identity file, so that stock
 * `age -d -i kit.txt` opens every object of the organization. FORMAT.md, "Keys".
 */
import { fail } from '../errors.ts'
import { parseBase64url, toBase64url, utf8 } from './bytes.ts'
import { makeSigningKey, parseIdentityFile } from './keys.ts'

export type KitStorage = {
  readonly endpoint: string
  readonly region: string
  readonly bucket: string
  readonly prefix: string
}

/** `identity` and `signingSeed` are secrets: whoever has them reads, and speaks for, the whole organization. */
export type RecoveryKit = {
  readonly organization: string
  readonly organizationId: string
  /** ISO 8601. */
  readonly madeAt: string
  /** `AGE-SECRET-KEY-1…` of the recovery key. */
  readonly identity: string
  /** 32 bytes: the Ed25519 organization signing key. */
  readonly signingSeed: Uint8Array
  readonly storage: KitStorage | null
}

const SIGNING_KEY = 'HOLDFAST-SIGNING-KEY-1-'
const TITLE = '# Holdfast recovery kit, version 1'

const NAMES = {
  organization: 'organization',
  organizationId: 'organization id',
  madeAt: 'made at',
  endpoint: 'storage endpoint',
  region: 'storage region',
  bucket: 'storage bucket',
  prefix: 'storage prefix',
} as const

const line = (name: string, value: string): string => `# ${name}: ${value}`

/** One line a fact, below 80 columns where the facts allow it. */
export const formatKit = (kit: RecoveryKit): string =>
  [
    TITLE,
    '#',
    '# Whoever holds this can read every backup of the organization, with Holdfast',
    '# or with the stock "age" program alone. Nobody can make it again: keep two',
    '# copies away from this machine (paper, a password manager, a safe).',
    '#',
    line(NAMES.organization, kit.organization),
    line(NAMES.organizationId, kit.organizationId),
    line(NAMES.madeAt, kit.madeAt),
    ...(kit.storage === null
      ? []
      : [
          line(NAMES.endpoint, kit.storage.endpoint),
          line(NAMES.region, kit.storage.region),
          line(NAMES.bucket, kit.storage.bucket),
          line(NAMES.prefix, kit.storage.prefix),
        ]),
    '#',
    '# Organization signing key (Ed25519):',
    `# ${SIGNING_KEY}${toBase64url(kit.signingSeed)}`,
    '#',
    '# Recovery identity (age):',
    kit.identity,
    '',
  ].join('\n')

const valueOf = (lines: readonly string[], name: string): string | null => {
  const start = `# ${name}: `
  // An empty value may have lost its trailing space on the way through an editor.
  const found = lines.find((text) => text.startsWith(start) || text === start.trimEnd())
  return found === undefined ? null : found.slice(start.length)
}

const damaged = (problem: string): Error => fail('DAMAGED', { what: 'The recovery kit', problem })

const need = (lines: readonly string[], name: string): string => {
  const value = valueOf(lines, name)
  if (value === null) throw damaged(`the line "${name}" is missing`)
  return value
}

/** Throws `DAMAGED` where a line is missing or a key was copied wrongly. Other lines, and spaces around, do not matter. */
export const parseKit = (text: string): RecoveryKit => {
  const lines = text.split(/\r?\n/).map((part) => part.trim())
  const [identity] = parseIdentityFile(lines.join('\n'))
  if (identity === undefined) throw damaged('the recovery identity is missing')
  const key = lines.find((part) => part.startsWith(`# ${SIGNING_KEY}`))
  const signingSeed = parseBase64url(key?.slice(2 + SIGNING_KEY.length) ?? '', 32)
  if (signingSeed === null) throw damaged('the organization signing key is missing or not whole')
  const endpoint = valueOf(lines, NAMES.endpoint)
  return {
    organization: need(lines, NAMES.organization),
    organizationId: need(lines, NAMES.organizationId),
    madeAt: need(lines, NAMES.madeAt),
    identity: identity.text,
    signingSeed: Uint8Array.from(signingSeed),
    storage:
      endpoint === null
        ? null
        : {
            endpoint,
            region: need(lines, NAMES.region),
            bucket: need(lines, NAMES.bucket),
            prefix: need(lines, NAMES.prefix),
          },
  }
}

/** The public half, as the agents pin it: base64url. */
export const kitSigningKey = (kit: RecoveryKit): string =>
  toBase64url(makeSigningKey(kit.signingSeed).publicKey)

/** What the organization signing key signs to show that the kit is at hand, at `time` (ms). */
export const kitProof = (organizationId: string, time: number): Uint8Array =>
  utf8(`holdfast/recovery-kit/v1\0confirm\0${organizationId}\0${String(time)}`)

/** The body of `POST /v1/organization/recovery/confirm`. */
export const proveKit = (
  kit: Pick<RecoveryKit, 'organizationId' | 'signingSeed'>,
  time: number,
): { readonly signature: string; readonly time: number } => ({
  signature: toBase64url(makeSigningKey(kit.signingSeed).sign(kitProof(kit.organizationId, time))),
  time,
})
