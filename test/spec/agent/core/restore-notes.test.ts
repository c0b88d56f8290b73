import { describe, expect, test } from 'vitest'
import { createNotes, noteOf } from '#agent/core/restore-notes.ts'
import type { RestoreEvent } from '#agent/core/restore-events.ts'
import type { Report } from '#shared/protocol/reports.ts'
import { encode } from '#shared/protocol/codec.ts'
import { MAX_MESSAGE } from '#shared/protocol/fields.ts'

const failed = (path: string): RestoreEvent => ({
  at: 'failed',
  path,
  problem: { code: 'TARGET_UNWRITABLE', details: { path, problem: 'x'.repeat(600) } },
})

describe('notes of single files', () => {
  test('say what happened, in the words of the catalogue and with the names of people', () => {
    const problem = { code: 'DAMAGED', details: { what: 'It', problem: 'torn' } } as const
    const events: RestoreEvent[] = [
      { at: 'damaged', path: '/caf\xc3\xa9', problem },
      { at: 'lost', from: { dir: '/', name: 'a' }, to: null, problem },
      { at: 'skipped', path: '/s', reason: 'socket' },
      { at: 'skipped', path: '/e', reason: 'exists' },
      { at: 'skipped', path: '/u', reason: 'unreadable' },
      { at: 'absent', path: '/n' },
    ]
    expect(events.map(noteOf)).toMatchObject(
      [
        { path: '/café', outcome: 'failed', code: 'DAMAGED', problem: /^It is damaged: torn/ },
        { path: '/a', outcome: 'failed', code: 'DAMAGED', problem: /up to the end.*torn/ },
        { path: '/s', outcome: 'skipped', code: 'UNSUPPORTED' },
        { path: '/e', outcome: 'skipped', code: 'CONFLICT' },
        { path: '/u', outcome: 'skipped', code: 'SOURCE_UNREADABLE', problem: /unreadable/ },
        { path: '/n', outcome: 'failed', code: 'RESOURCE_NOT_FOUND' },
      ].map(({ problem: text, ...rest }) => ({
        ...rest,
        ...(text === undefined ? {} : { problem: expect.stringMatching(text) as unknown }),
      })),
    )
  })

  test('come a hundred at a time, ten thousand in all', () => {
    const notes = createNotes()
    const sizes: number[] = []
    for (let i = 0; i < 10_300; i += 1)
      if (notes.add(failed(`/f${String(i)}`))) sizes.push(notes.take().length)
    sizes.push(notes.take().length, notes.take().length)
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(10_000)
    expect(Math.max(...sizes)).toBe(100)
    expect(sizes.at(-1)).toBe(0)
  })

  test('fit into a message, however long and strange the names are', () => {
    const notes = createNotes()
    for (let i = 0; i < 100; i += 1) notes.add(failed(`/${'\x01'.repeat(9000)}${String(i)}`))
    const id = '019a0000-0000-7000-8000-000000000001'
    let told = 0
    for (let files = notes.take(); files.length > 0; files = notes.take()) {
      const report: Report = { type: 'restore.noted', id, run: id, epoch: 1, files }
      const frame = encode(report)
      expect(Buffer.byteLength(frame)).toBeLessThan(MAX_MESSAGE)
      told += files.length
    }
    expect(told).toBe(100)
  })
})
