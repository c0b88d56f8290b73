/** Everything that `flips` does to one object: every byte of its header, sampled ones elsewhere, and what else may happen to it. */
import { preambleLength } from '#shared/format/age.ts'
import { parseKey } from '#shared/format/layout.ts'
import type { Seeded } from '../support/seeded.ts'
import { type Damage, flipAt } from './flip-damage.ts'

type Objects = ReadonlyMap<string, Uint8Array>

/** Whoever cannot be read without the others is first in line. */
export const KINDS = ['signer', 'key', 'record', 'tree', 'pack'] as const
export type Kind = (typeof KINDS)[number]

export const FAMILIES = ['header', 'elsewhere', 'length', 'others'] as const
export type Family = (typeof FAMILIES)[number]

/** One sealed segment of the payload; at its seams mistakes would be. */
const SEALED = 65_552
/** The authentication of the last segment, and what it ends with. */
const END = 20

export const kindOf = (key: string): string => parseKey(key)?.kind ?? 'none'

/** Age header and nonce; the chain of signers is signed JSON, all of which counts. */
const headerOf = (key: string, bytes: Uint8Array): number =>
  kindOf(key) === 'signer' ? bytes.length : preambleLength(bytes)

const one = (kind: string, key: string, bytes: Uint8Array | null): Damage => ({
  kind,
  changes: new Map([[key, bytes]]),
})

const flips = (
  chance: Seeded,
  [key, bytes]: readonly [string, Uint8Array],
  places: Iterable<number>,
): readonly Damage[] =>
  [...places].map((at) => one(`flip at ${at}`, key, flipAt(bytes, at, 1 << chance.below(8))))

const headerFlips = (chance: Seeded, key: string, bytes: Uint8Array): readonly Damage[] =>
  flips(chance, [key, bytes], Array(headerOf(key, bytes)).keys())

/** `count` by chance, the seams of all segments, and the last bytes. */
const otherFlips = (
  chance: Seeded,
  [key, bytes]: readonly [string, Uint8Array],
  count: number,
): readonly Damage[] => {
  const header = headerOf(key, bytes)
  const room = bytes.length - header
  if (room === 0) return []
  const seams: number[] = []
  for (let at = header; at < bytes.length; at += SEALED) seams.push(at - 1, at, at + SEALED - 17)
  const places = [
    ...seams,
    ...Array.from({ length: END }, (_, i) => bytes.length - 1 - i),
    ...Array.from({ length: count }, () => header + chance.below(room)),
  ].filter((at) => at >= header && at < bytes.length)
  return flips(chance, [key, bytes], new Set(places))
}

const lengths = (chance: Seeded, key: string, bytes: Uint8Array): readonly Damage[] => {
  const cuts = [0, 1, Math.floor(bytes.length / 2), bytes.length - 1]
  if (bytes.length > SEALED) cuts.push(headerOf(key, bytes) + SEALED, SEALED)
  const more = [Uint8Array.of(0), Uint8Array.of(10), chance.bytes(16), chance.bytes(SEALED), bytes]
  return [
    ...cuts.map((at) => one(`cut to ${at}`, key, bytes.slice(0, at))),
    ...more.map((tail) =>
      one(`${tail.length} bytes more`, key, Uint8Array.from(Buffer.concat([bytes, tail]))),
    ),
  ]
}

/** Every other object of its kind in its place, here and of another vault; and both exchanged. */
const others = (
  [vault, other]: readonly [Objects, Objects],
  [key, bytes]: readonly [string, Uint8Array],
): readonly Damage[] => {
  const alike = (objects: Objects): (readonly [string, Uint8Array])[] =>
    [...objects].filter(([name]) => kindOf(name) === kindOf(key) && name !== key)
  return [
    one('removed', key, null),
    ...alike(vault).flatMap(([name, theirs]) => [
      one(`replayed ${name}`, key, theirs),
      {
        kind: `swapped with ${name}`,
        changes: new Map([
          [key, theirs],
          [name, bytes],
        ] as const),
      },
    ]),
    ...alike(other).map(([name, theirs]) => one(`foreign ${name}`, key, theirs)),
    // Of another kind, under this name.
    ...KINDS.filter((kind) => kind !== kindOf(key)).flatMap((kind) => {
      const [name, theirs] = [...vault].find(([at]) => kindOf(at) === kind) ?? []
      return name === undefined ? [] : [one(`a ${kind} in its place`, key, theirs ?? null)]
    }),
  ]
}

export type Victims = {
  readonly chance: Seeded
  readonly vault: Objects
  readonly other: Objects
  /** Sampled positions of one object, beside its header. */
  readonly samples: number
}

export const damagesOf = (
  { chance, vault, other, samples }: Victims,
  key: string,
  family: Family,
): readonly Damage[] => {
  const bytes = vault.get(key) ?? new Uint8Array()
  switch (family) {
    case 'header':
      return headerFlips(chance, key, bytes)
    case 'elsewhere':
      return otherFlips(chance, [key, bytes], samples)
    case 'length':
      return lengths(chance, key, bytes)
    case 'others':
      return others([vault, other], [key, bytes])
  }
}

/** Bytes that are what they were are no damage: two secrets hold the same, but no two objects are the same bytes. */
export const isDamage = ({ changes }: Damage, vault: Objects): boolean =>
  [...changes].some(([key, bytes]) => {
    const was = vault.get(key)
    return bytes === null || was === undefined || Buffer.compare(bytes, was) !== 0
  })
