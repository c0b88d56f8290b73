/** Every secret that a control plane holds, opened with its master key, as needles. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { storageRowsIn } from '#server/io/db/storage-settings.ts'
import { identityPurpose } from '#server/io/db/encryption-keys.ts'
import { type DatabaseAddress, openDatabase } from '#server/io/db/open.ts'
import { systemRandom } from '#server/io/random.ts'
import { parseMasterKey, sealing } from '#server/io/secrets.ts'
import { parseIdentity } from '#shared/format/keys.ts'
import { parseKit } from '#shared/format/recovery-kit.ts'
import { reveal } from '#shared/secret.ts'
import type { Instance } from './instance.ts'
import { type Needle, needlesOfKey, needlesOfSigning, needlesOfText } from './needles.ts'

export type Holder = {
  readonly instance: Instance
  readonly connect: DatabaseAddress
  /** base64url, as HOLDFAST_MASTER_KEY has it. */
  readonly masterKey: string
}

const ofIdentity = (secret: string, text: string): Needle[] => [
  ...needlesOfText(secret, text),
  ...needlesOfKey(secret, parseIdentity(text).secretKey),
]

const sealedSecrets = async ({ connect, masterKey }: Holder): Promise<Needle[]> => {
  const database = openDatabase(connect)
  const { db } = database
  const sealed = sealing(parseMasterKey(masterKey, 'masterKey'), systemRandom)
  const open = (purpose: string, bytes: Uint8Array): string =>
    Buffer.from(sealed.open(purpose, bytes)).toString('utf8')
  try {
    const keys = await db.selectFrom('encryption_keys').select(['id', 'sealed_identity']).execute()
    const vaults = await db.selectFrom('vaults').select(['id', 'sealed_list_identity']).execute()
    const storages = await db.selectFrom('storages').select(['id', 'name', 'region']).execute()
    const needles: Needle[] = []
    for (const { id, sealed_identity } of keys)
      if (sealed_identity !== null)
        needles.push(
          ...ofIdentity(`content identity ${id}`, open(identityPurpose(id), sealed_identity)),
        )
    for (const { id, sealed_list_identity } of vaults)
      needles.push(
        ...ofIdentity(
          `list identity of ${id}`,
          open(`vaults/${id}/list_identity`, sealed_list_identity),
        ),
      )
    for (const { id, name, region } of storages) {
      const row = await storageRowsIn(db, sealed).load(id)
      const secret = row?.credentials.secretAccessKey ?? ''
      needles.push(...needlesOfText(`secret access key of ${name}`, secret))
      needles.push(...needlesOfSigning(`secret access key of ${name}`, secret, region))
    }
    return needles
  } finally {
    await database.close()
  }
}

/** Storage keys with what is derived from them, master key, content, list and recovery identities, signing key, token. */
export const controlPlaneSecrets = async (holder: Holder): Promise<Needle[]> => {
  const { instance, masterKey } = holder
  const kit = parseKit(readFileSync(instance.kit, 'utf8'))
  return [
    ...(await sealedSecrets(holder)),
    ...needlesOfKey('master key', reveal(parseMasterKey(masterKey, 'masterKey'))),
    ...ofIdentity('recovery identity', kit.identity),
    ...needlesOfKey('organization signing key', kit.signingSeed),
    ...needlesOfText('token of the data folder', instance.token),
  ]
}

type AgentFiles = {
  readonly signing: Uint8Array
  readonly box: Uint8Array
  /** By vault. */
  readonly vaults: ReadonlyMap<string, Uint8Array>
}

const jsonIn = (path: string): Readonly<Record<string, unknown>> =>
  JSON.parse(readFileSync(path, 'utf8')) as Readonly<Record<string, unknown>>

const bytesOf = (value: unknown): Uint8Array => Buffer.from(String(value), 'base64url')

/** The secrets that an agent does hold. */
export const agentSecrets = (state: string, vaults: readonly string[]): AgentFiles => {
  const identity = jsonIn(join(state, 'agent.json'))
  return {
    signing: bytesOf(identity['signing_seed']),
    box: bytesOf(identity['box_seed']),
    vaults: new Map(
      vaults.map((vault) => [
        vault,
        bytesOf(jsonIn(join(state, 'vaults', vault, 'secret.json'))['secret']),
      ]),
    ),
  }
}
