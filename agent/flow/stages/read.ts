/**
 * Changed files → where their content lies: batches of neighbours and parts of large files go to the sealing threads,
 * which of their blobs are new to the vault is decided here. A bounded number of readings is under way.
 */
import type { Locator } from '#shared/format/locator.ts'
import {
  BATCH_BYTES,
  BATCH_FILES,
  loadStat,
  OUTCOME,
  type ReadFiles,
  WHOLE_READ,
} from '../../core/sealing.ts'
import { type Exact, isFile } from '../../core/stat.ts'
import { createGate, type Gate } from '../gate.ts'
import type { FileContent } from './content.ts'
import {
  claim,
  faultAt,
  NOT_A_FILE,
  type OnPlace,
  type ReadParts,
  readOf,
  RESTLESS,
  settle,
  type Stage,
  type Wanted,
} from './place.ts'
import { readLarge } from './read-large.ts'

export type Reader = {
  submit(file: Wanted): void
  /** Begins what waits for a full batch. */
  flush(): void
  /** Resolves when everything submitted has been done or has failed, second tries too. */
  idle(): Promise<void>
  /** Resolves when another batch could begin. */
  readonly room: () => Promise<void>
}

/** The content of a small file: a few pieces, placed in any order. */
const gather = (count: number, done: (content: FileContent) => void): ((n: number) => OnPlace) => {
  const content: Locator[] = []
  let missing = count
  let size = 0
  if (count === 0) done({ size: 0, content, more: [], uses: [] })
  return (n) => (locator) => {
    content[n] = locator
    size += locator[4]
    missing -= 1
    if (missing === 0) done({ size, content, more: [], uses: [] })
  }
}

type Try = Wanted & { readonly tries: number }

/** A file that moves on while it is tried is given up after so many readings. */
const TRIES = 3

type State = Stage & {
  /** One large file at a time: its parts keep all threads busy. */
  readonly larges: Gate
  batch: Try[]
  bytes: number
}

/** It did not fit, or is not what it was: another try, in another way if need be. */
const again = (state: State, file: Try, exact: Exact): void => {
  if (!isFile(exact.mode)) file.failed(NOT_A_FILE)
  else if (file.tries >= TRIES) file.failed(RESTLESS)
  else add(state, { ...file, size: exact.size, tries: file.tries + 1 })
}

/** For each piece of a batch, what is to be done with its place. */
const receivers = (state: State, files: ReadFiles, wanted: readonly Try[]): OnPlace[] => {
  const onPlaces: OnPlace[] = []
  for (const [index, file] of wanted.entries()) {
    const outcome = files.outcomes[index]
    const pieces = files.pieceCounts[index] ?? 0
    if (outcome === OUTCOME.fault) file.failed(faultAt(files, index))
    else if (outcome === OUTCOME.later) again(state, file, loadStat(files.stats, index))
    else {
      state.tally.bytesRead += files.sizes[index] ?? 0
      const done = (content: FileContent): void =>
        file.done({ ...readOf(files, index), file: content })
      const receive = gather(pieces, done)
      for (let n = 0; n < pieces; n += 1) onPlaces.push(receive(n))
    }
  }
  return onPlaces
}

const ignore: OnPlace = () => undefined

const runBatch = async (state: State, wanted: readonly Try[]): Promise<void> => {
  const { uploads, gate, sealing, tally } = state
  tally.phase = 'uploading'
  await uploads.room()
  await gate.enter()
  try {
    const reading = await sealing.files(wanted.map((file) => file.path))
    const onPlaces = receivers(state, reading.files, wanted)
    const fresh = claim(state, reading.files, (piece) => onPlaces[piece] ?? ignore)
    await settle(state, reading, fresh)
  } finally {
    gate.leave()
  }
}

const flush = (state: State): void => {
  const { batch } = state
  if (batch.length === 0) return
  state.batch = []
  state.bytes = 0
  state.crew.run(async () => runBatch(state, batch))
}

const runLarge = async (state: State, file: Wanted): Promise<void> => {
  await state.larges.enter()
  try {
    await readLarge(state, file)
  } finally {
    state.larges.leave()
  }
}

const add = (state: State, file: Try): void => {
  if (file.size > WHOLE_READ) {
    state.crew.run(async () => runLarge(state, file))
    return
  }
  if (state.bytes + file.size > BATCH_BYTES) flush(state)
  state.batch.push(file)
  state.bytes += file.size
  if (state.batch.length >= BATCH_FILES || state.bytes >= BATCH_BYTES) flush(state)
}

export const createReader = (parts: ReadParts): Reader => {
  const { stop } = parts.crew
  const gate = createGate(parts.width)
  const larges = createGate(1)
  stop.addEventListener('abort', () => {
    gate.break(stop.reason)
    larges.break(stop.reason)
  })
  const state: State = { ...parts, gate, claims: new Map(), larges, batch: [], bytes: 0 }
  return {
    submit: (file) => add(state, { ...file, tries: 1 }),
    flush: () => flush(state),
    idle: async () => {
      do {
        flush(state)
        await state.crew.settle()
      } while (state.batch.length > 0)
    },
    room: async () => {
      await gate.room()
      await larges.room()
    },
  }
}
