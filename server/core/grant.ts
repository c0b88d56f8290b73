/**
 * What an agent may put into the bucket: exactly these objects, of this size and SHA-256, under keys that we choose.
 * An agent's request is hostile input (ARCHITECTURE.md, promise 1); a refused object refuses its whole request.
 */
import type { ObjectClass, Wanted } from '#shared/protocol/reports.ts'
import { GiB, KiB, MiB } from '#shared/units.ts'

/** Largest object of each class. A pack holds up to 64 MiB; padding, index and age add less than an eighth to it. */
export const MAX_SIZE: Readonly<Record<ObjectClass, number>> = {
  pack: 72 * MiB,
  tree: 72 * MiB,
  record: MiB,
  signer: 64 * KiB,
  key: 64 * KiB,
}

/** What one run may be granted in all: a runaway or hijacked agent fills a bucket no further than this. */
export const RUN_CAPS = { objects: 1_048_576, bytes: 16 * 1024 * GiB } as const
/** So often may a run write its record again, after `commit.missing`. */
export const MAX_RECORDS = 10

/** Where an object stands in the catalog; `gone` = condemned or deleted. */
export type ObjectState = 'granted' | 'stored' | 'gone'

export type Known = {
  readonly state: ObjectState
  readonly size: number
  readonly sha256: string
}

export type Scope = {
  /** Numbers `first` to `next - 1` have been handed out in this vault under the present catalog epoch. */
  readonly numbers: { readonly first: number; readonly next: number }
  /** The vault's genesis is verified: its first signer and secret are in place and never written again. */
  readonly opened: boolean
  readonly sequence: number
  /** Every page of the commit is staged, so what the record will name is known. */
  readonly pagesComplete: boolean
  /** Different records granted to this run so far. */
  readonly records: number
  readonly granted: { readonly objects: number; readonly bytes: number }
}

export type Ask = { readonly wanted: Wanted; readonly known: Known | null }

/** `again`: the same bytes under the same key. `fresh`: a new row and a new key. */
export type Decision = { readonly grant: 'again' | 'fresh' } | { readonly refuse: string }

const refuse = (problem: string): Decision => ({ refuse: problem })

const FRESH: Decision = { grant: 'fresh' }

const numbered = (scope: Scope, no: number): Decision =>
  no >= scope.numbers.first && no < scope.numbers.next
    ? FRESH
    : refuse('its number was not given to this vault')

const ofRecord = (scope: Scope, no: number): Decision => {
  if (no !== scope.sequence) return refuse(`its sequence number is not ${scope.sequence}`)
  if (!scope.pagesComplete) return refuse('the pages of the commit are not all there')
  if (scope.records >= MAX_RECORDS) return refuse('this run has written too many records')
  return FRESH
}

const ofOpening = (scope: Scope, no: number): Decision => {
  if (scope.opened) return refuse('the vault is open already')
  return no === 0 ? FRESH : refuse('only the first one is written by a run')
}

const firstTime = (scope: Scope, wanted: Wanted): Decision => {
  switch (wanted.class) {
    case 'pack':
    case 'tree':
      return numbered(scope, wanted.no)
    case 'record':
      return ofRecord(scope, wanted.no)
    case 'signer':
    case 'key':
      return ofOpening(scope, wanted.no)
  }
}

const decide = (scope: Scope, { wanted, known }: Ask): Decision => {
  if (wanted.size < 1 || wanted.size > MAX_SIZE[wanted.class])
    return refuse(`its size is not between 1 and ${MAX_SIZE[wanted.class]} bytes`)
  if (known === null) return firstTime(scope, wanted)
  if (known.size !== wanted.size || known.sha256 !== wanted.sha256)
    return refuse('that number was granted for other bytes')
  return known.state === 'gone'
    ? refuse('the object of that number was deleted: take a fresh number')
    : { grant: 'again' }
}

const count = (scope: Scope, wanted: Wanted): Scope => ({
  ...scope,
  records: scope.records + (wanted.class === 'record' ? 1 : 0),
  granted: {
    objects: scope.granted.objects + 1,
    bytes: scope.granted.bytes + wanted.size,
  },
})

const overCap = ({ granted }: Scope): string | null => {
  if (granted.objects > RUN_CAPS.objects) return `a run gets at most ${RUN_CAPS.objects} objects`
  return granted.bytes > RUN_CAPS.bytes ? `a run gets at most ${RUN_CAPS.bytes} bytes` : null
}

/** A refusal names the object by its place in the request. */
export type Decisions =
  | { readonly grants: readonly ('again' | 'fresh')[] }
  | { readonly refused: number; readonly problem: string }

/** Decides one request as a whole; objects count against the caps in order, and repeated ones count once. */
export const decideGrants = (start: Scope, asks: readonly Ask[]): Decisions => {
  const grants: ('again' | 'fresh')[] = []
  const fresh = new Map<string, Known>()
  let scope = start
  for (const [place, ask] of asks.entries()) {
    const name = `${ask.wanted.class} ${ask.wanted.no}`
    const known = ask.known ?? fresh.get(name) ?? null
    const decision = decide(scope, { wanted: ask.wanted, known })
    if ('refuse' in decision) return { refused: place, problem: decision.refuse }
    if (decision.grant === 'fresh') {
      scope = count(scope, ask.wanted)
      fresh.set(name, { state: 'granted', size: ask.wanted.size, sha256: ask.wanted.sha256 })
    }
    const problem = overCap(scope)
    if (problem !== null) return { refused: place, problem }
    grants.push(decision.grant)
  }
  return { grants }
}
