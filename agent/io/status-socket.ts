/**
 * The socket `status.sock` in the state folder, mode 0600: whoever connects is told once what the agent does. A file
 * could only say what was true when it was written; a socket that nobody listens to answers nothing, so an agent that
 * was killed never counts as one that runs.
 */
import { closeSync, constants, openSync, rmSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { MiB, SECOND } from '#shared/units.ts'
import type { ServeStatus, StatusAnswer } from '../ports/status.ts'
import { codeOf } from './fault.ts'

const NAME = 'status.sock'
/** `sun_path` of Linux has 108 bytes with its end, that of others as few as 104. */
const MOST_PATH = 100
const PATIENCE = 5 * SECOND
const MOST_ANSWER = 4 * MiB
const MOST_ASKING = 8
/** No right but the owner's. */
const UMASK = 0o177

type Way = { readonly path: string; close(): void }

/** A path short enough for a socket: if need be through the folder that is open. */
const wayTo = (folder: string): Way => {
  const path = join(folder, NAME)
  if (Buffer.byteLength(path) <= MOST_PATH || process.platform !== 'linux')
    return { path, close: () => undefined }
  const fd = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY)
  return { path: `/proc/self/fd/${String(fd)}/${NAME}`, close: () => closeSync(fd) }
}

const listen = async (server: Server, path: string): Promise<void> =>
  await new Promise((resolve, reject) => {
    server.once('error', reject)
    // Bound before `listen` returns: no other thread makes files in between.
    const before = process.umask(UMASK)
    try {
      server.listen(path, () => {
        server.removeListener('error', reject)
        server.on('error', () => undefined)
        resolve()
      })
    } finally {
      process.umask(before)
    }
  })

/** To be called by who holds the lock of the folder: a socket that is there already is a dead agent's. */
export const statusSocket =
  (folder: string): ServeStatus =>
  async (look) => {
    const way = wayTo(folder)
    const server = createServer((socket) => {
      socket.on('error', () => undefined)
      socket.setTimeout(PATIENCE, () => socket.destroy())
      socket.end(look())
    })
    server.maxConnections = MOST_ASKING
    try {
      rmSync(way.path, { force: true })
      await listen(server, way.path)
    } catch (error) {
      way.close()
      throw error
    }
    server.unref()
    return {
      close: async () => {
        await new Promise<void>((resolve) => server.close(() => resolve()))
        rmSync(way.path, { force: true })
        way.close()
      },
    }
  }

/** No file, nobody behind it, or no socket at all. */
const NOBODY: ReadonlySet<unknown> = new Set(['ENOENT', 'ENOTDIR', 'ECONNREFUSED', 'ENOTSOCK'])

const ask = async (path: string): Promise<StatusAnswer> =>
  await new Promise((resolve, reject) => {
    const socket = connect(path)
    let text = ''
    const end = (answer: StatusAnswer): void => {
      socket.destroy()
      resolve(answer)
    }
    socket.setEncoding('utf8')
    socket.setTimeout(PATIENCE, () => end({ at: 'silent' }))
    socket.on('data', (data: string) => {
      text += data
      if (text.length > MOST_ANSWER) end({ at: 'silent' })
    })
    socket.once('end', () => end(text === '' ? { at: 'silent' } : { at: 'answered', text }))
    socket.once('error', (error) => {
      const code = codeOf(error)
      if (NOBODY.has(code)) end({ at: 'absent' })
      // It ended while we asked.
      else if (code === 'ECONNRESET' || code === 'EPIPE') end({ at: 'silent' })
      else reject(error)
    })
  })

export const askStatus = async (folder: string): Promise<StatusAnswer> => {
  let way: Way
  try {
    way = wayTo(folder)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return { at: 'absent' }
    throw error
  }
  try {
    return await ask(way.path)
  } finally {
    way.close()
  }
}
