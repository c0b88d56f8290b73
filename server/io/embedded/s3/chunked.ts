import { createHash, type Hash } from 'node:crypto'
import { refuse } from './refusal.ts'
import { chunkSignature, sameSignature, trailerSignature, type ChunkSeed } from './signature.ts'

/** Takes raw body bytes in any slicing and gives back the object's bytes in them. */
export type Decoder = {
  push(bytes: Buffer): readonly Buffer[]
  /** Refuses an unfinished body; gives the trailing headers, names in lower case. */
  finish(): ReadonlyMap<string, string>
}

export const plainDecoder = (): Decoder => ({
  push: (bytes) => [bytes],
  finish: () => new Map(),
})

const MAX_LINE = 4096
const MAX_TRAILERS = 16
const MAX_CHUNK = 5 * 1024 ** 3

type At = 'size' | 'data' | 'data-end' | 'trailer' | 'done'

type State = {
  at: At
  line: string
  /** Bytes of the present chunk still to come. */
  left: number
  /** The signature that the present chunk claims. */
  claimed: string
  previous: string
  hash: Hash
  trailers: Map<string, string>
  trailerLines: string
}

const incomplete = (): Error => refuse('IncompleteBody', 'The aws-chunked body is not well-formed.')

/**
 * The aws-chunked framing: `<hex size>[;chunk-signature=<hex>]\r\n<data>\r\n … 0[;…]\r\n[<trailer>\r\n …]\r\n`.
 * With a seed every chunk's signature is verified, and that of the trailer where there is one; a chunk's bytes are given
 * out before its signature is known, so the caller must not keep them until `finish` has returned.
 */
export const chunkedDecoder = (seed: ChunkSeed | null, signedTrailer: boolean): Decoder => {
  const state: State = {
    at: 'size',
    line: '',
    left: 0,
    claimed: '',
    previous: seed?.signature ?? '',
    hash: createHash('sha256'),
    trailers: new Map(),
    trailerLines: '',
  }
  return {
    push: (bytes) => {
      const pieces: Buffer[] = []
      const cursor: Cursor = { bytes, at: 0 }
      while (cursor.at < bytes.length) {
        if (state.at === 'data') pieces.push(takeData(state, seed, cursor))
        else takeLine(state, seed, cursor)
      }
      return pieces
    },
    finish: () => {
      if (state.at !== 'done') throw incomplete()
      if (seed !== null && signedTrailer) checkTrailer(state, seed)
      return state.trailers
    },
  }
}

type Cursor = { readonly bytes: Buffer; at: number }

const takeData = (state: State, seed: ChunkSeed | null, cursor: Cursor): Buffer => {
  const piece = cursor.bytes.subarray(cursor.at, cursor.at + state.left)
  cursor.at += piece.length
  state.left -= piece.length
  if (seed !== null) state.hash.update(piece)
  if (state.left === 0) {
    endChunk(state, seed)
    state.at = 'data-end'
  }
  return piece
}

const endChunk = (state: State, seed: ChunkSeed | null): void => {
  if (seed === null) return
  const expected = chunkSignature(seed, state.previous, state.hash.digest('hex'))
  if (!sameSignature(expected, state.claimed)) throw refuse('SignatureDoesNotMatch')
  state.previous = expected
  state.hash = createHash('sha256')
}

/** Gathers bytes up to a line's end, then acts on the line. */
const takeLine = (state: State, seed: ChunkSeed | null, cursor: Cursor): void => {
  if (state.at === 'done') throw incomplete()
  const end = cursor.bytes.indexOf(0x0a, cursor.at)
  const stop = end < 0 ? cursor.bytes.length : end + 1
  state.line += cursor.bytes.toString('latin1', cursor.at, stop)
  cursor.at = stop
  if (state.line.length > MAX_LINE) throw incomplete()
  if (end < 0) return
  const line = state.line.replace(/\r?\n$/, '')
  state.line = ''
  if (state.at === 'size') startChunk(state, seed, line)
  else if (state.at === 'trailer') takeTrailer(state, line)
  else if (line === '') state.at = 'size'
  else throw incomplete()
}

const startChunk = (state: State, seed: ChunkSeed | null, line: string): void => {
  const [, hex, signature] =
    /^([0-9a-f]{1,16})(?:;chunk-signature=([0-9a-f]{64}))?\s*$/i.exec(line) ?? []
  const size = Number.parseInt(hex ?? '', 16)
  if (Number.isNaN(size) || size > MAX_CHUNK) throw incomplete()
  if (seed !== null && signature === undefined) throw incomplete()
  state.claimed = signature ?? ''
  state.left = size
  if (size > 0) {
    state.at = 'data'
    return
  }
  endChunk(state, seed)
  state.at = 'trailer'
}

const takeTrailer = (state: State, line: string): void => {
  if (line === '') {
    state.at = 'done'
    return
  }
  const at = line.indexOf(':')
  const name = line.slice(0, at).trim().toLowerCase()
  const value = line.slice(at + 1).trim()
  if (at < 1 || state.trailers.has(name) || state.trailers.size >= MAX_TRAILERS) {
    throw refuse('MalformedTrailerError')
  }
  state.trailers.set(name, value)
  if (name !== 'x-amz-trailer-signature') state.trailerLines += `${name}:${value}\n`
}

const checkTrailer = (state: State, seed: ChunkSeed): void => {
  const claimed = state.trailers.get('x-amz-trailer-signature') ?? ''
  const expected = trailerSignature(seed, state.previous, state.trailerLines)
  if (!sameSignature(expected, claimed)) throw refuse('SignatureDoesNotMatch')
}
