/** Pieces of content that somebody wants → jobs for the threads: by pack, frames in order, each frame decoded once. */
import type { Locator, PackNo } from '../format/locator.ts'
import { MiB } from '../units.ts'

export type Wanted<By> = { readonly locator: Locator; readonly by: By }

export type PlannedPiece<By> = {
  readonly offset: number
  readonly length: number
  readonly id: string
  /** Everybody who wants this very piece: it is decoded and checked once. */
  readonly by: readonly By[]
}
export type PlannedFrame<By> = {
  readonly offset: number
  readonly length: number
  readonly pieces: readonly PlannedPiece<By>[]
}
export type PlannedJob<By> = {
  readonly pack: PackNo
  readonly frames: readonly PlannedFrame<By>[]
}

/** A job ends with the frame that brings it to this many bytes or pieces, so that all threads have work. */
const JOB_BYTES = 2 * MiB
const JOB_PIECES = 512

type BuildingPiece<By> = {
  readonly offset: number
  readonly length: number
  readonly id: string
  readonly by: By[]
}
type Building<By> = {
  readonly offset: number
  readonly length: number
  readonly pieces: Map<string, BuildingPiece<By>>
}

/** Jobs in order of packs; frames of a job ascend. Nothing wanted is left out. */
export const planJobs = <By>(wanted: readonly Wanted<By>[]): readonly PlannedJob<By>[] => {
  const packs = new Map<PackNo, Map<string, Building<By>>>()
  for (const { locator, by } of wanted) {
    const [pack, frameOffset, frameLength, offset, length, id] = locator
    const frames = getOr(packs, pack, () => new Map<string, Building<By>>())
    // Locators may lie about lengths: frames that differ in anything are different ones.
    const frame = getOr(frames, `${frameOffset},${frameLength}`, () => ({
      offset: frameOffset,
      length: frameLength,
      pieces: new Map<string, BuildingPiece<By>>(),
    }))
    const make = (): BuildingPiece<By> => ({ offset, length, id, by: [] })
    getOr(frame.pieces, `${offset},${length},${id}`, make).by.push(by)
  }
  return [...packs]
    .sort(([a], [b]) => a - b)
    .flatMap(([pack, frames]) => cutJobs(pack, [...frames.values()]))
}

const getOr = <K, V>(map: Map<K, V>, key: K, make: () => V): V => {
  const known = map.get(key)
  if (known !== undefined) return known
  const made = make()
  map.set(key, made)
  return made
}

const cutJobs = <By>(pack: PackNo, frames: readonly Building<By>[]): PlannedJob<By>[] => {
  const jobs: PlannedJob<By>[] = []
  let job: PlannedFrame<By>[] = []
  let bytes = 0
  let pieces = 0
  for (const frame of frames.toSorted((a, b) => a.offset - b.offset || a.length - b.length)) {
    const planned = { ...frame, pieces: [...frame.pieces.values()] }
    job.push(planned)
    bytes += frame.length
    pieces += planned.pieces.reduce((sum, piece) => sum + piece.by.length, 0)
    if (bytes < JOB_BYTES && pieces < JOB_PIECES) continue
    jobs.push({ pack, frames: job })
    job = []
    bytes = 0
    pieces = 0
  }
  return job.length === 0 ? jobs : [...jobs, { pack, frames: job }]
}
