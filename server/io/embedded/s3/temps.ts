import { randomBytes } from 'node:crypto'
import {
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  unlink,
} from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { DAY, MiB, type Ms } from '#shared/units.ts'

/**
 * Bytes on their way in. Each process has a folder named after itself, so that a start can remove the left-overs of dead
 * processes without touching those of a living one that serves the same folder.
 */
type Owner = { readonly world: string; readonly pid: string; readonly started: string }

const readOr = async (work: Promise<string>, otherwise: string): Promise<string> => {
  try {
    return (await work).trim()
  } catch {
    return otherwise
  }
}

/** When a process started, in ticks since boot (field 22; the name in field 2 may hold blanks): tells a reused pid apart. */
const startOf = async (pid: string): Promise<string> => {
  const line = await readOr(readFile(`/proc/${pid}/stat`, 'utf8'), '')
  return line.slice(line.lastIndexOf(')') + 2).split(' ')[19] ?? ''
}

/** Names the boot and the process-id name space: only inside one of them do process ids mean anything. */
const worldName = async (): Promise<string> => {
  const boot = await readOr(readFile('/proc/sys/kernel/random/boot_id', 'utf8'), '')
  const space = await readOr(readlink('/proc/self/ns/pid'), '')
  return boot === '' ? '' : `${boot.slice(0, 8)}${space.replaceAll(/\D/g, '')}`
}

const nameOf = (owner: Owner): string =>
  `${owner.world}_${owner.pid}_${owner.started}_${randomBytes(6).toString('hex')}`

export const ownTempFolder = async (parent: string): Promise<string> => {
  const pid = String(process.pid)
  const path = join(parent, nameOf({ world: await worldName(), pid, started: await startOf(pid) }))
  await mkdir(path, { mode: 0o700 })
  return path
}

/** Where process ids say nothing (another machine or container on the same volume, or no /proc), only age does. */
const isDead = async (path: string, name: string, now: Ms): Promise<boolean> => {
  const [world, pid, started] = name.split('_')
  if (world !== '' && world === (await worldName())) return (await startOf(pid ?? '')) !== started
  return now - (await stat(path)).mtimeMs > DAY
}

/** Removes the folders of dead processes; gives how many files were in them. */
export const clearDeadTemps = async (parent: string, now: Ms): Promise<number> => {
  let removed = 0
  for (const name of await readdir(parent)) {
    const path = join(parent, name)
    try {
      if (!(await isDead(path, name, now))) continue
      removed += (await readdir(path)).length
      await rm(path, { recursive: true, force: true })
    } catch {
      // Another process that starts at the same moment may have removed it first; the next start tries again.
    }
  }
  return removed
}

export type Temp = {
  readonly path: string
  readonly handle: FileHandle
  /** Takes a piece; wait for it before giving the next one. */
  write(piece: Buffer): Promise<void>
  /** All bytes handed to the system. */
  flush(): Promise<void>
  /** Renames the file; after that `discard` only closes it. */
  moveTo(path: string): Promise<void>
  /** Closes the handle, and removes the file unless it has been moved. */
  discard(): Promise<void>
}

const BATCH = MiB

/** Gathers pieces into batches and writes one while the next is gathered, so that hashing and writing overlap. */
export const openTemp = async (folder: string): Promise<Temp> => {
  const path = join(folder, randomBytes(12).toString('hex'))
  const handle = await open(path, 'wx', 0o600)
  let batch: Buffer[] = []
  let size = 0
  let moved = false
  let writing: Promise<void> = Promise.resolve()
  const send = async (): Promise<void> => {
    await writing
    const pieces = batch
    batch = []
    size = 0
    writing = writeAll(handle, pieces)
    // Awaited by the next send or by flush; without this an error in between would count as unhandled.
    writing.catch(() => undefined)
  }
  return {
    path,
    handle,
    write: async (piece) => {
      batch.push(piece)
      size += piece.length
      if (size >= BATCH) await send()
    },
    flush: async () => {
      await send()
      await writing
    },
    moveTo: async (to) => {
      await rename(path, to)
      moved = true
    },
    discard: async () => {
      await writing.catch(() => undefined)
      await handle.close()
      // One that cannot be removed now is removed at the next start.
      if (!moved) await unlink(path).catch(() => undefined)
    },
  }
}

/** writev may write less than asked for. */
const writeAll = async (handle: FileHandle, pieces: readonly Buffer[]): Promise<void> => {
  let left = pieces.filter((piece) => piece.length > 0)
  while (left.length > 0) {
    let { bytesWritten } = await handle.writev(left)
    const rest: Buffer[] = []
    for (const piece of left) {
      if (bytesWritten >= piece.length) bytesWritten -= piece.length
      else {
        rest.push(piece.subarray(bytesWritten))
        bytesWritten = 0
      }
    }
    left = rest
  }
}
