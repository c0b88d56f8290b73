/** One agent a state folder: the kernel frees the name when the process ends, however it ends. */
import { createHash } from 'node:crypto'
import { mkdirSync, realpathSync, rmSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fail } from '#shared/errors.ts'
import { codeOf } from './fault.ts'

export type Lock = { release(): Promise<void> }

/** On Linux an abstract socket, which leaves nothing on disk; elsewhere a socket file. */
const nameFor = (folder: string): string => {
  const digest = createHash('sha256').update(realpathSync(folder)).digest('hex').slice(0, 32)
  return process.platform === 'linux'
    ? `\0holdfast-agent-${digest}`
    : join(tmpdir(), `holdfast-${digest}`)
}

const listen = async (name: string): Promise<Server> =>
  await new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy())
    server.once('error', reject)
    server.listen(name, () => resolve(server.unref()))
  })

const answers = async (name: string): Promise<boolean> =>
  await new Promise((resolve) => {
    const socket = connect(name)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })

/** Whether a process holds the folder; nothing is made, and nobody is kept from it. */
export const isLocked = async (folder: string): Promise<boolean> => {
  try {
    return await answers(nameFor(folder))
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false
    throw error
  }
}

/** `CONFLICT` while another process holds it. */
export const lockFolder = async (folder: string): Promise<Lock> => {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const name = nameFor(folder)
  const held = async (): Promise<Server> => {
    try {
      return await listen(name)
    } catch (error) {
      if (codeOf(error) !== 'EADDRINUSE') throw error
      if (name.startsWith('\0') || (await answers(name)))
        throw fail('CONFLICT', { problem: `An agent runs with the state folder ${folder} already` })
      rmSync(name, { force: true })
      return await listen(name)
    }
  }
  const server = await held()
  return {
    release: async () => {
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}
