/** The agent's own files, parsed: who it is, what it pins, and where each job stands. */
import { toBase64url } from '#shared/format/bytes.ts'
import { bytes32 } from '#shared/format/json.ts'
import { type RecipientSet, sha256 } from '#shared/format/keys.ts'
import { fail } from '#shared/errors.ts'
import { ID_PATTERN } from '#shared/ids.ts'
import { type Parsed, parser, type Static, Type } from '#shared/schema.ts'

const id = Type.String({ pattern: ID_PATTERN })
const whole = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
const recipients = Type.Object({
  content: Type.Array(Type.String()),
  recovery: Type.Array(Type.String()),
  list: Type.Array(Type.String()),
})

/** agent.json. Seeds are secrets: the file has mode 0600 and is never logged. */
export const Identity = Type.Object({
  version: Type.Literal(1),
  url: Type.String(),
  signing_seed: bytes32,
  box_seed: bytes32,
  /** null until the control plane has let it in. */
  server: Type.Union([Type.Null(), id]),
  /** What the control plane called this server last. */
  server_name: Type.Optional(Type.String()),
  organization: Type.Union([
    Type.Null(),
    Type.Object({ id, name: Type.String(), signing_key: bytes32 }),
  ]),
  /** Connections made so far: two agents with one key show in it. */
  joins: whole,
  /** Refused as a copy, or as an older state, with these counts: it does not come again until it is enrolled anew. */
  copied: Type.Optional(Type.Object({ joins: whole, known: whole })),
  /** The highest one seen: a control plane restored from an old database may not fall back below it. */
  catalog_epoch: whole,
  /** Recipients that a person confirmed, whole, by vault. */
  pinned: Type.Array(Type.Object({ vault: id, fingerprint: bytes32, recipients })),
})
export type Identity = Static<typeof Identity>

/** vaults/<vault>/secret.json, with the first objects as they were made, so that a retry sends the same bytes. */
export const VaultFile = Type.Object({
  version: Type.Literal(1),
  vault: id,
  secret: bytes32,
  /** Signing key of the agent, and fingerprint of the recipients, that the genesis names. */
  agent_key: bytes32,
  readers: bytes32,
  genesis: Type.String(),
  key: Type.String(),
  key_header_bytes: whole,
})
export type VaultFile = Static<typeof VaultFile>

const uses = Type.Array(Type.Tuple([whole, whole]))

/** jobs/<job>/parent.json: the newest backup that this agent saw committed. */
export const ParentFile = Type.Object({
  version: Type.Literal(1),
  vault: id,
  backup: id,
  sequence: whole,
  record_sha256: bytes32,
  /** File name of the local tree, beside this one. */
  tree: Type.String({ pattern: '^tree-[0-9a-f-]+\\.zst$' }),
  /** Live bytes by pack: of what the lines use, and of the tree itself. */
  content: uses,
  structure: uses,
  gc_epoch: whole,
})
export type ParentFile = Static<typeof ParentFile>

const parseIdentityFile = parser(Identity)
const parseVaultFile = parser(VaultFile)
const parseParentFile = parser(ParentFile)

const reading =
  <T>(what: string, parse: (value: unknown) => Parsed<T>) =>
  (bytes: Uint8Array): T => {
    const problem = (text: string): Error => fail('DAMAGED', { what, problem: text })
    let value: unknown
    try {
      value = JSON.parse(Buffer.from(bytes).toString('utf8'))
    } catch {
      throw problem('it is not JSON')
    }
    const parsed = parse(value)
    if ('ok' in parsed) return parsed.ok
    throw problem(`${parsed.field} ${parsed.problem}`)
  }

const checkOf = (text: string): string => toBase64url(sha256(Buffer.from(text, 'utf8')))

/** The last field of the JSON is the SHA-256 of what it is without it. Files of earlier agents have none. */
const checked = <T>(
  what: string,
  parse: (value: unknown) => Parsed<T>,
): ((bytes: Uint8Array) => T) =>
  reading(what, (value) => {
    const { check, ...rest } = Object(value) as Record<string, unknown>
    if (check === undefined || check === checkOf(JSON.stringify(rest))) return parse(rest)
    return { field: 'check', problem: 'is not that of the file' }
  })

export const readIdentity = reading('The file agent.json', parseIdentityFile)
export const readVaultFile = checked('The vault secret of this agent', parseVaultFile)
export const readParentFile = checked('The state of a job', parseParentFile)

/** A person may edit it, and nothing in it can make a backup wrong. */
export const writeIdentity = (value: Identity): Uint8Array =>
  Buffer.from(`${JSON.stringify(value)}\n`, 'utf8')

/**
 * Another bit in the secret would name blobs as no reader can check them; another one in what a job uses, and packs that
 * it needs would be deleted. So what is damaged is found out before it is used.
 */
export const writeChecked = (value: VaultFile | ParentFile): Uint8Array =>
  Buffer.from(`${JSON.stringify({ ...value, check: checkOf(JSON.stringify(value)) })}\n`, 'utf8')

/** The set that a person confirmed for this vault, or null. */
export const pinnedFor = (identity: Identity, vault: string): string | null =>
  identity.pinned.find((pin) => pin.vault === vault)?.fingerprint ?? null

export const withPins = (
  identity: Identity,
  pins: readonly { vault: string; fingerprint: string; recipients: RecipientSet }[],
): Identity => {
  const renewed = new Set(pins.map((pin) => pin.vault))
  const kept = identity.pinned.filter((pin) => !renewed.has(pin.vault))
  const added = pins.map(({ vault, fingerprint, recipients: set }) => ({
    vault,
    fingerprint,
    recipients: { content: [...set.content], recovery: [...set.recovery], list: [...set.list] },
  }))
  return { ...identity, pinned: [...kept, ...added] }
}
