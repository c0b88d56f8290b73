/** Where an agent could keep what it must not have: its files, its process, and all that it said and heard. */
import { closeSync, openSync, readdirSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { zstdDecompressSync } from 'node:zlib'
import { TAG_BYTES } from '#agent/core/journal.ts'
import { stateFolder } from '#agent/io/state-folder.ts'
import { hasCode } from '#shared/errors.ts'
import { type Hit, type Search, searchFile } from './byte-search.ts'
import { type Searched, searchProcess } from './process-search.ts'
import { bytesOfExchange, type Recorder } from './recorder.ts'

export const filesBelow = (path: string): string[] =>
  readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))

/** The blocks of a local tree, or of a journal as far as it is written at this moment. */
function* blocksOf(path: string): Generator<Uint8Array> {
  const source = stateFolder(dirname(path)).blocks(basename(path), 'anywhere')
  try {
    for (let block = source?.next(); block != null; block = source?.next()) yield block
  } catch (error) {
    if (!hasCode(error, 'DAMAGED') || isTree(path)) throw error
  } finally {
    source?.close()
  }
}

const isTree = (path: string): boolean => /tree-[^/]*[.]zst$/.test(path)
const isJournal = (path: string): boolean => /[/]finished(-next)?$/.test(path)

/** Their blocks are packed: what they say stands in no other file. */
const searchBlocks = (search: Search, path: string): Hit[] => {
  const hits: Hit[] = []
  let isHead = isJournal(path)
  for (const block of blocksOf(path)) {
    if (!isHead) {
      const packed = isJournal(path) ? block.subarray(TAG_BYTES) : block
      hits.push(...search.bytes(path, zstdDecompressSync(packed)))
    }
    isHead = false
  }
  return hits
}

/** A file may be renamed or removed between two looks. */
const isThere = (path: string): boolean => {
  try {
    closeSync(openSync(path, 'r'))
    return true
  } catch {
    return false
  }
}

export const searchFolder = (search: Search, folder: string): Hit[] =>
  filesBelow(folder)
    .filter(isThere)
    .flatMap((path) => [
      ...searchFile(search, path),
      ...(isTree(path) || isJournal(path) ? searchBlocks(search, path) : []),
    ])

export type AgentPlaces = { readonly pid: number; readonly folders: readonly string[] }

export const searchAgent = (search: Search, { pid, folders }: AgentPlaces): Searched => {
  const { hits, memory } = searchProcess(search, pid)
  return { memory, hits: [...folders.flatMap((one) => searchFolder(search, one)), ...hits] }
}

/** Both directions of everything that a recorder has seen. */
export const searchRecorded = (search: Search, { messages, exchanges }: Recorder): Hit[] => [
  ...messages.flatMap(({ from, text }) =>
    search.bytes(`a message of the ${from}`, Buffer.from(text)),
  ),
  ...exchanges.flatMap((exchange) =>
    search.bytes(`${exchange.method} ${exchange.path}`, bytesOfExchange(exchange)),
  ),
]
