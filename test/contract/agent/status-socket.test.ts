import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { isLocked, lockFolder } from '#agent/io/lock.ts'
import { askStatus, statusSocket } from '#agent/io/status-socket.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hf-status-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const socket = (): string => join(folder, 'status.sock')

describe('the status of an agent', () => {
  test('is told to whoever asks, each time anew, and to nobody once it is closed', async () => {
    let count = 0
    const serving = await statusSocket(folder)(() => `answer ${(count += 1)}`)
    expect(statSync(socket()).mode & 0o777).toBe(0o600)
    expect(await askStatus(folder)).toEqual({ at: 'answered', text: 'answer 1' })
    expect(await askStatus(folder)).toEqual({ at: 'answered', text: 'answer 2' })
    await serving.close()
    expect(existsSync(socket())).toBe(false)
    expect(await askStatus(folder)).toEqual({ at: 'absent' })
  })

  test('is told also where the path of the folder is longer than that of a socket may be', async () => {
    folder = join(folder, 'x'.repeat(100), 'y'.repeat(100))
    mkdirSync(folder, { recursive: true })
    const serving = await statusSocket(folder)(() => 'here')
    expect(statSync(socket()).isSocket()).toBe(true)
    expect(await askStatus(folder)).toEqual({ at: 'answered', text: 'here' })
    await serving.close()
    expect(existsSync(socket())).toBe(false)
  })

  test('is nobody’s where a killed agent left its socket, which the next one replaces', async () => {
    const program = `
      require('node:net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`
    expect(spawnSync(process.execPath, ['-e', program, socket()]).signal).toBe('SIGKILL')
    expect(statSync(socket()).isSocket()).toBe(true)
    expect(await askStatus(folder)).toEqual({ at: 'absent' })
    const serving = await statusSocket(folder)(() => 'the next one')
    expect(await askStatus(folder)).toEqual({ at: 'answered', text: 'the next one' })
    await serving.close()
  })

  test('is nobody’s where there is no folder, and where a file has that name', async () => {
    expect(await askStatus(join(folder, 'nowhere'))).toEqual({ at: 'absent' })
    expect(await isLocked(join(folder, 'nowhere'))).toBe(false)
    expect(existsSync(join(folder, 'nowhere'))).toBe(false)
    writeFileSync(socket(), 'not a socket')
    expect(await askStatus(folder)).toEqual({ at: 'absent' })
  })
})

test('whether a folder is held can be asked without holding it', async () => {
  expect(await isLocked(folder)).toBe(false)
  const lock = await lockFolder(folder)
  expect(await isLocked(folder)).toBe(true)
  await lock.release()
  expect(await isLocked(folder)).toBe(false)
})
