/** What happens to the objects of a vault in one case of `flip`. */
import { parseKey } from '#shared/format/layout.ts'
import type { Seeded } from '../support/seeded.ts'

type Objects = ReadonlyMap<string, Uint8Array>

export type Damage = {
  readonly kind: string
  /** New bytes by key; null removes the object. */
  readonly changes: ReadonlyMap<string, Uint8Array | null>
}

/** `vault` is damaged; `other` lends objects of another vault. */
export const makeDamage = (chance: Seeded, vault: Objects, other: Objects): Damage => {
  const key = pickKey(chance, vault)
  const bytes = vault.get(key) ?? new Uint8Array()
  const kind = chance.pick([
    'flip',
    'flip',
    'flip',
    'truncate',
    'append',
    'swap',
    'foreign',
    'remove',
    'replay',
    'wipe',
  ])
  const changes = CHANGES[kind]?.({ chance, vault, other, key, bytes }) ?? new Map()
  return { kind: `${kind} ${kindOf(key)}`, changes }
}

const kindOf = (key: string): string => parseKey(key)?.kind ?? 'none'

/** First the kind, so that the rare ones are damaged as often as packs. */
const pickKey = (chance: Seeded, objects: Objects): string => {
  const kinds = [...new Set([...objects.keys()].map(kindOf))].sort()
  return pickOf(chance, objects, chance.pick([...kinds, 'pack', 'pack', 'tree']))
}

const pickOf = (chance: Seeded, objects: Objects, kind: string): string =>
  chance.pick([...objects.keys()].filter((key) => kindOf(key) === kind))

/** One wrong byte in each segment of 64 KiB of the largest pack, the header aside. */
export const segmentDamages = (vault: Objects): readonly Damage[] => {
  const packs = [...vault].filter(([key]) => kindOf(key) === 'pack')
  const [key, bytes] = packs.sort(([, a], [, b]) => b.length - a.length)[0] ?? []
  if (key === undefined || bytes === undefined) throw new RangeError('the vault has no pack')
  return Array.from({ length: Math.floor(bytes.length / 65_552) }, (_, i) => ({
    kind: 'segment',
    changes: new Map([[key, flipAt(bytes, (i + 1) * 65_552, 1)]]),
  }))
}

type Setting = {
  readonly chance: Seeded
  readonly vault: Objects
  readonly other: Objects
  readonly key: string
  readonly bytes: Uint8Array
}
type Change = (setting: Setting) => Map<string, Uint8Array | null>

export const flipAt = (bytes: Uint8Array, at: number, mask: number): Uint8Array => {
  const out = Uint8Array.from(bytes)
  out[at] = (out[at] ?? 0) ^ mask
  return out
}

const CHANGES: Readonly<Record<string, Change>> = {
  flip: ({ chance, key, bytes }) => {
    const at = chance.below(chance.chance(0.3) ? Math.min(bytes.length, 450) : bytes.length)
    return new Map([[key, flipAt(bytes, at, 1 + chance.below(255))]])
  },
  truncate: ({ chance, key, bytes }) => {
    const cut = chance.chance(0.5) ? 1 + chance.below(40) : chance.below(bytes.length + 1)
    return new Map([[key, bytes.slice(0, Math.max(0, bytes.length - cut))]])
  },
  append: ({ chance, key, bytes }) => {
    const more = chance.chance(0.3) ? bytes : chance.bytes(1 + chance.below(200))
    return new Map([[key, Uint8Array.from(Buffer.concat([bytes, more]))]])
  },
  swap: ({ chance, vault, key, bytes }) => {
    const second = chance.chance(0.5) ? pickOf(chance, vault, kindOf(key)) : pickKey(chance, vault)
    return new Map([
      [key, vault.get(second) ?? null],
      [second, bytes],
    ])
  },
  foreign: ({ chance, other, key }) =>
    new Map([[key, other.get(pickOf(chance, other, kindOf(key))) ?? null]]),
  remove: ({ key }) => new Map([[key, null]]),
  replay: ({ chance, vault, key }) => {
    const older = [...vault.keys()].filter((one) => kindOf(one) === kindOf(key))
    return new Map([[key, vault.get(chance.pick(older)) ?? null]])
  },
  wipe: ({ chance, key, bytes }) => {
    const out = Uint8Array.from(bytes)
    const from = chance.below(bytes.length)
    out.fill(0, from, from + 4096)
    return new Map([[key, out]])
  },
}
