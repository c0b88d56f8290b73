/** Where an agent could keep what it must not have: its files, its process, and all that it said and heard. */
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { zstdDecompressSync } from 'node:zlib'
import { type Hit, type Search, searchFile } from './byte-search.ts'
import { type Searched, searchProcess } from './process-search.ts'
import { bytesOfExchange, type Recorder } from './recorder.ts'

export const filesBelow = (path: string): string[] =>
  readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))

/** Local trees are blocks of zstd, each behind its length: what they say stands in no other file. */
const searchTree = (search: Search, path: string): Hit[] => {
  const bytes = readFileSync(path)
  const hits: Hit[] = []
  for (let at = 0; at + 4 <= bytes.length;) {
    const end = at + 4 + bytes.readUInt32LE(at)
    const plain = zstdDecompressSync(bytes.subarray(at + 4, end))
    hits.push(...search.bytes(path, plain))
    at = end
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
      ...(/tree-[^/]*[.]zst$/.test(path) ? searchTree(search, path) : []),
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
