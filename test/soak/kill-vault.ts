/** What lies in the bucket, looked at with the recovery kit: which blobs a pack has, which packs a record names. */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { sql } from 'kysely'
import { open } from '#shared/format/age.ts'
import { toBase64url } from '#shared/format/bytes.ts'
import { decodeFrame } from '#shared/format/frame.ts'
import { type Identity, parseIdentity, sha256 } from '#shared/format/keys.ts'
import { locateSegments } from '#shared/format/fence.ts'
import type { FullLocator } from '#shared/format/locator.ts'
import { packIndexOf } from '#shared/format/pack.ts'
import { allPacks } from '#shared/format/pack-table.ts'
import { decodeRecord } from '#shared/format/record.ts'
import { parseKit } from '#shared/format/recovery-kit.ts'
import type { KillWorld } from './kill-world.ts'

/** A pack or tree as the catalog has it. */
export type CatalogPack = {
  readonly pack_no: number
  readonly object_key: string
  readonly size: number
  readonly sha256: Uint8Array
  readonly etag: string | null
  readonly state: string
  /** The run that it was granted to. */
  readonly granted_by: string | null
}

export type VaultView = {
  readonly packs: () => Promise<readonly CatalogPack[]>
  /** Ids of the blobs in an object of the bucket, or null: it is not there. */
  readonly ids: (key: string) => readonly string[] | null
  /** What is not as the catalog says, of everything that it calls stored or condemned. */
  readonly disagreements: () => Promise<readonly string[]>
  /** Objects that restoring a committed backup reads, its record and the vault's own aside, as the record's tables say: bytes by key. */
  readonly needs: (backup: string) => Promise<ReadonlyMap<string, number>>
  /** What a committed backup needs and the catalog does not hold for it. */
  readonly unheld: (backup: string) => Promise<readonly string[]>
}

type Parts = { readonly world: KillWorld; readonly identities: readonly Identity[] }

const bytesAt = ({ world }: Parts, key: string): Buffer => readFileSync(join(world.bucket, key))

const packsIn = async ({ world }: Parts): Promise<readonly CatalogPack[]> => {
  const { rows } = await sql<CatalogPack>`
    select pack_no, object_key, size, sha256, etag, state, granted_by from packs order by pack_no`.execute(
    world.database.db,
  )
  return rows
}

const whole = (parts: Parts, pack: CatalogPack): string[] => {
  const { object_key: key, etag, size } = pack
  if (!existsSync(join(parts.world.bucket, key))) return [`${key} is stored and not there`]
  const bytes = bytesAt(parts, key)
  const md5 = createHash('md5').update(bytes).digest('hex')
  return [
    ...(bytes.length === size ? [] : [`${key} has ${bytes.length} bytes and not ${size}`]),
    ...(etag === md5 ? [] : [`${key} has the ETag ${md5} and not ${String(etag)}`]),
    ...(toBase64url(sha256(bytes)) === toBase64url(pack.sha256) ? [] : [`${key} is other bytes`]),
  ]
}

/** Objects are never replaced, so each is read once; later its size is enough. */
const disagreementsIn = async (parts: Parts, seen: Set<string>): Promise<readonly string[]> => {
  const found: string[] = []
  for (const pack of await packsIn(parts)) {
    if (pack.state !== 'stored' && pack.state !== 'condemned') continue
    const path = join(parts.world.bucket, pack.object_key)
    const isKnown = seen.has(pack.object_key)
    if (isKnown && existsSync(path) && statSync(path).size === pack.size) continue
    found.push(...whole(parts, pack))
    seen.add(pack.object_key)
  }
  return found
}

type Steps<Found> = Generator<FullLocator, Found, Uint8Array>
type Seen = Map<string, number>

/** Reads what `steps` ask for, and notes the objects that it lies in. */
const walk = <Found>(parts: Parts, steps: Steps<Found>, seen: Seen = new Map()): Found => {
  let step = steps.next()
  while (step.done !== true) {
    const [, offset, length, start, size, , key, bytes] = step.value
    seen.set(key, bytes)
    const plain = open(bytesAt(parts, key), parts.identities)
    const frame = decodeFrame(plain.subarray(offset, offset + length))
    step = steps.next(frame.subarray(start, start + size))
  }
  return step.value
}

const bodyAt = (parts: Parts, key: string) =>
  decodeRecord(open(bytesAt(parts, key), parts.identities)).body

const needsIn = async (parts: Parts, backup: string): Promise<ReadonlyMap<string, number>> => {
  const { key } = await heldFor(parts, backup)
  const body = bodyAt(parts, key)
  const seen: Seen = new Map()
  for (const row of walk(parts, allPacks(body.packs), seen)) seen.set(row.key, row.size)
  walk(parts, locateSegments(body.fence, { at: 'all' }), seen)
  return seen
}

const heldFor = async (
  { world }: Parts,
  backup: string,
): Promise<{ readonly key: string; readonly packs: ReadonlySet<number> }> => {
  const { rows } = await sql<{ record_key: string; packs: number[] | null }>`
    select b.record_key, (
      select array_agg(r.pack_no) from pack_refs r join packs p using (vault_id, pack_no)
      where r.vault_id = b.vault_id and r.job_id = b.job_id and p.state = 'stored'
        and r.from_seq <= b.sequence and (r.to_seq is null or r.to_seq > b.sequence)) as packs
    from backups b where b.id = ${backup}`.execute(world.database.db)
  return { key: rows[0]?.record_key ?? '', packs: new Set((rows[0]?.packs ?? []).map(Number)) }
}

const unheldIn = async (parts: Parts, backup: string): Promise<readonly string[]> => {
  const { key, packs } = await heldFor(parts, backup)
  const body = bodyAt(parts, key)
  const stored = new Map((await packsIn(parts)).map((pack) => [pack.pack_no, pack]))
  const rows = walk(parts, allPacks(body.packs))
  const wanted = [...rows.map(({ pack }) => pack), body.packs[0], body.fence[0]]
  return [
    ...wanted
      .filter((no) => !packs.has(no))
      .map((no) => `backup ${backup} needs pack ${no}, which is not held for it`),
    ...rows
      .filter(({ pack, key: at, size }) => {
        const row = stored.get(pack)
        return row?.object_key !== at || row.size !== size
      })
      .map(({ pack }) => `backup ${backup} names pack ${pack} as another object than the catalog`),
  ]
}

export const viewVault = (world: KillWorld): VaultView => {
  const kit = parseKit(readFileSync(world.instance.kit, 'utf8'))
  const parts: Parts = { world, identities: [parseIdentity(kit.identity)] }
  const seen = new Set<string>()
  const known = new Map<string, readonly string[]>()
  return {
    packs: async () => packsIn(parts),
    ids: (key) => {
      const there = known.get(key)
      if (there !== undefined) return there
      if (!existsSync(join(world.bucket, key))) return null
      const frames = packIndexOf(open(bytesAt(parts, key), parts.identities))
      const ids = frames.flatMap(({ pieces }) => pieces.map(({ id }) => id))
      known.set(key, ids)
      return ids
    },
    disagreements: async () => disagreementsIn(parts, seen),
    needs: async (backup) => needsIn(parts, backup),
    unheld: async (backup) => unheldIn(parts, backup),
  }
}
