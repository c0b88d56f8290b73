import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { lockFolder } from '#agent/io/lock.ts'
import { stateFolder } from '#agent/io/state-folder.ts'
import type { StateFolder } from '#agent/ports.ts'

let folder = ''
let state: StateFolder
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hf-state-'))
  state = stateFolder(folder)
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const recordOf = (n: number): Uint8Array => new Uint8Array(8).fill(n)

describe('a state folder', () => {
  test('replaces a file whole, readable by its owner alone, and leaves nothing beside it', () => {
    expect(state.read('a/b.json')).toBeNull()
    state.replace('a/b.json', Buffer.from('one'))
    state.replace('a/b.json', Buffer.from('two'))
    expect(Buffer.from(state.read('a/b.json') ?? []).toString()).toBe('two')
    expect(statSync(join(folder, 'a/b.json')).mode & 0o777).toBe(0o600)
    expect(statSync(join(folder, 'a')).mode & 0o777).toBe(0o700)
    expect(readdirSync(join(folder, 'a'))).toEqual(['b.json'])
  })

  test('is not misled by what a crash left of a replacement', () => {
    state.replace('b.json', Buffer.from('one'))
    writeFileSync(join(folder, 'b.json.new'), 'half of tw')
    expect(Buffer.from(state.read('b.json') ?? []).toString()).toBe('one')
    state.replace('b.json', Buffer.from('two'))
    expect(Buffer.from(state.read('b.json') ?? []).toString()).toBe('two')
  })

  test('appends lines behind the last whole one', () => {
    state.appendLines('lines', ['one', 'two'])
    appendFileSync(join(folder, 'lines'), 'unfinish')
    state.appendLines('lines', ['three'])
    expect(readFileSync(join(folder, 'lines'), 'utf8')).toBe('one\ntwo\nthree\n')
  })

  test('gives records back by number, on disk or not yet', () => {
    const file = state.records('records', 8)
    for (let n = 0; n < 100; n += 1) expect(file.append(recordOf(n))).toBe(n)
    expect(Buffer.from(file.read(7)).equals(recordOf(7))).toBe(true)
    file.flush()
    file.append(recordOf(100))
    expect(Buffer.from(file.read(7)).equals(recordOf(7))).toBe(true)
    expect(Buffer.from(file.read(100)).equals(recordOf(100))).toBe(true)
    expect(file.count).toBe(101)
    let seen = 0
    file.scan((records, first) => {
      for (let at = 0; at < records.length; at += 8, seen += 1)
        expect(records[at]).toBe(first + at / 8)
    })
    expect(seen).toBe(101)
    file.close()
  })

  test('passes over part of a record that a crash left at the end', () => {
    const file = state.records('records', 8)
    file.append(recordOf(1))
    file.append(recordOf(2))
    file.close()
    truncateSync(join(folder, 'records'), 13)
    const again = state.records('records', 8)
    expect(again.count).toBe(1)
    expect(again.append(recordOf(3))).toBe(1)
    again.close()
    expect(statSync(join(folder, 'records')).size).toBe(16)
  })

  test('shows a local tree only when it is finished', () => {
    const sink = state.newBlocks('job/tree')
    sink.write(Buffer.from('one'))
    sink.write(Buffer.from(''))
    sink.write(Buffer.from('three'))
    expect(state.blocks('job/tree')).toBeNull()
    sink.finish()
    sink.discard()
    const source = state.blocks('job/tree')
    const blocks: string[] = []
    for (let block = source?.next(); block !== null && block !== undefined; block = source?.next())
      blocks.push(Buffer.from(block).toString())
    source?.close()
    expect(blocks).toEqual(['one', '', 'three'])
    const given = state.newBlocks('job/other')
    given.write(Buffer.from('x'))
    given.discard()
    expect(readdirSync(join(folder, 'job'))).toEqual(['tree'])
  })

  test('shows a log as far as it was written, and begins it anew', () => {
    const old = state.blockLog('job/log')
    old.write(Buffer.from('of before'))
    old.close()
    const log = state.blockLog('job/log')
    log.write(Buffer.from('one'))
    log.sync()
    log.write(Buffer.from('two'))
    const source = state.blocks('job/log', 'anywhere')
    const read = [source?.next(), source?.next()].map((block) =>
      Buffer.from(block ?? '').toString(),
    )
    expect([...read, source?.next()]).toEqual(['one', 'two', null])
    source?.close()
    log.close()
    expect(statSync(join(folder, 'job/log')).mode & 0o777).toBe(0o600)
  })

  test('allocates nothing for a length that no block has', () => {
    writeFileSync(join(folder, 'tree'), Buffer.from('00000003', 'hex'))
    truncateSync(join(folder, 'tree'), 64 * 1024 * 1024)
    const source = state.blocks('tree')
    expect(() => source?.next()).toThrow('ends too early')
    source?.close()
  })

  test('refuses a local tree that ends too early', () => {
    const sink = state.newBlocks('tree')
    sink.write(Buffer.from('some bytes'))
    sink.finish()
    truncateSync(join(folder, 'tree'), 9)
    const source = state.blocks('tree')
    expect(() => source?.next()).toThrow('ends too early')
    source?.close()
  })

  test('refuses a local tree that is cut off anywhere, or in which any byte is another one', () => {
    const sink = state.newBlocks('tree')
    sink.write(Buffer.from('some bytes'))
    sink.write(Buffer.from('others'))
    sink.finish()
    const path = join(folder, 'tree')
    const whole = readFileSync(path)
    const readAll = (bytes: Uint8Array): void => {
      writeFileSync(path, bytes)
      const source = state.blocks('tree')
      try {
        while (source?.next() !== null);
      } finally {
        source?.close()
      }
    }
    readAll(whole)
    for (let at = 0; at < whole.length; at += 1) {
      const other = Uint8Array.from(whole)
      other[at] = (other[at] ?? 0) ^ 0x10
      expect(() => readAll(other)).toThrow('The local tree of this agent is damaged')
      expect(() => readAll(whole.subarray(0, at))).toThrow('ends too early')
    }
  })

  test('lists and removes, and does not mind what is not there', () => {
    expect(state.list('nothing')).toEqual([])
    state.remove('nothing')
    state.replace('x/y', Buffer.from(''))
    state.rename('x/y', 'x/z')
    expect(state.list('x')).toEqual(['z'])
  })
})

describe('the lock of a folder', () => {
  test('is held by one, and free again when that one lets go', async () => {
    const lock = await lockFolder(folder)
    await expect(lockFolder(folder)).rejects.toMatchObject({ code: 'CONFLICT' })
    await lock.release()
    const again = await lockFolder(folder)
    await again.release()
  })
})
