import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createRecent } from '#shared/read/recent.ts'
import { attributesOf } from '#agent/core/restore-attributes.ts'
import { blame } from '#agent/core/restore-events.ts'
import { createLayout } from '#agent/core/restore-layout.ts'
import { createLinks } from '#agent/core/restore-links.ts'
import { planJobs } from '#shared/read/plan.ts'
import { runsOf } from '#agent/core/restore-runs.ts'
import { parsePath, stepsOf } from '#shared/read/select.ts'
import { fail } from '#shared/errors.ts'
import { SEGMENT } from '#shared/format/age.ts'
import type { Locator } from '#shared/format/locator.ts'
import type { Entry } from '#shared/format/tree.ts'
import { KiB, MiB } from '#shared/units.ts'

const ID = 'A'.repeat(43)

describe('planning', () => {
  const locators = fc.tuple(
    fc.integer({ min: 1, max: 3 }),
    fc.integer({ min: 0, max: 5 }).map((n) => n * 1_500_000),
    fc.constant(1_000_000),
    fc.integer({ min: 0, max: 3 }),
    fc.integer({ min: 1, max: 3 }),
    fc.constant(ID),
  )

  test('every piece that is wanted is in exactly one job, each frame once, in order', () => {
    fc.assert(
      fc.property(fc.array(locators, { maxLength: 60 }), (list) => {
        const jobs = planJobs(list.map((locator, by) => ({ locator, by })))
        const got = new Map<number, Locator>()
        for (const { pack, frames } of jobs) {
          frames.forEach((frame, i) => {
            expect(frame.offset).toBeGreaterThanOrEqual(frames[i - 1]?.offset ?? 0)
            for (const piece of frame.pieces) {
              for (const by of piece.by) {
                expect(got.has(by)).toBe(false)
                got.set(by, [
                  pack,
                  frame.offset,
                  frame.length,
                  piece.offset,
                  piece.length,
                  piece.id,
                ])
              }
            }
          })
        }
        expect([...got.keys()].sort((a, b) => a - b).map((by) => got.get(by))).toEqual(list)
        const frames = jobs.flatMap(({ pack, frames: all }) =>
          all.map((f) => `${pack} ${f.offset}`),
        )
        expect(new Set(frames).size).toBe(frames.length)
      }),
    )
  })

  test('what two want is decoded once', () => {
    const locator: Locator = [1, 0, 10, 0, 5, ID]
    const [job] = planJobs([
      { locator, by: 'a' },
      { locator, by: 'b' },
    ])
    expect(job?.frames).toEqual([
      { offset: 0, length: 10, pieces: [{ offset: 0, length: 5, id: ID, by: ['a', 'b'] }] },
    ])
  })

  const frame = (offset: number, length: number): { offset: number; length: number } => ({
    offset,
    length,
  })
  const segment = (offset: number): number => Math.floor(offset / SEGMENT)

  test('a read spans neighbours and small gaps, at most 8 MiB unless one frame is longer', () => {
    const near = [frame(0, MiB), frame(MiB, MiB), frame(2 * MiB + 256 * KiB, MiB)]
    expect(runsOf(near)).toEqual([near])
    expect(runsOf([frame(0, MiB), frame(MiB + 320 * KiB, MiB)])).toHaveLength(2)
    const long = Array.from({ length: 9 }, (_, i) => frame(i * MiB, MiB))
    expect(runsOf(long).map((run) => run.length)).toEqual([8, 1])
    expect(runsOf([])).toEqual([])
  })

  test('frames that share a segment are read together, however small they are', () => {
    const [a, b, c] = [frame(10, 20), frame(50_000, 100), frame(65_600, 10)]
    expect(runsOf([a, b, c])).toEqual([[a, b, c]])
    expect(runsOf([a, frame(200_000, 20)])).toHaveLength(2)
  })

  test('reads hold every frame once, in order, and gaps never make them half as long again', () => {
    const frames = fc
      .array(fc.tuple(fc.integer({ min: 0, max: 500_000 }), fc.integer({ min: 1, max: MiB })), {
        maxLength: 30,
      })
      .map((parts) => {
        let at = 0
        return parts.map(([gap, length]) => {
          const one = frame(at + gap, length)
          at += gap + length
          return one
        })
      })
    fc.assert(
      fc.property(frames, (list) => {
        const runs = runsOf(list)
        expect(runs.flat()).toEqual(list)
        for (const run of runs) {
          const first = run[0]!
          const last = run.at(-1)!
          const read =
            (segment(last.offset + last.length - 1) + 1 - segment(first.offset)) * SEGMENT
          const needed = run.reduce((sum, { length }) => sum + length, 0)
          const segments = new Set(
            run.flatMap(({ offset, length }) => {
              const from = segment(offset)
              return Array.from(
                { length: segment(offset + length - 1) - from + 1 },
                (_, i) => from + i,
              )
            }),
          )
          // What decrypting any one of them takes is no gap.
          if (read > segments.size * SEGMENT) expect(read).toBeLessThanOrEqual(1.5 * needed)
        }
      }),
    )
  })
})

describe('the layout of a file', () => {
  test('content goes around the holes and fills the file, however it is cut', () => {
    const sizes = fc.array(fc.tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 1, max: 9 })))
    fc.assert(
      fc.property(
        sizes,
        fc.integer({ min: 0, max: 9 }),
        fc.integer({ min: 1, max: 5 }),
        (parts, tail, cut) => {
          const data: number[] = []
          const holes: [number, number][] = []
          let at = 0
          for (const [content, hole] of parts) {
            for (let i = 0; i < content; i += 1) data.push(at + i)
            at += content
            // Holes that touch are one.
            const last = holes.at(-1)
            if (content === 0 && last !== undefined) last[1] += hole
            else holes.push([at, hole])
            at += hole
          }
          for (let i = 0; i < tail; i += 1) data.push(at + i)
          const layout = createLayout(at + tail, holes)
          const places: number[] = []
          for (let from = 0; from < data.length; from += cut) {
            const length = Math.min(cut, data.length - from)
            for (const run of layout.next(length)) {
              for (let i = 0; i < run.length; i += 1) places[from + run.from + i] = run.at + i
            }
          }
          layout.end()
          expect(places).toEqual(data)
        },
      ),
    )
  })

  test('too much content, or too little, is damage', () => {
    expect(() => createLayout(10, []).next(11)).toThrow(/more content/)
    expect(() => createLayout(10, [[5, 5]]).next(6)).toThrow(/more content/)
    const short = createLayout(10, [])
    short.next(9)
    expect(() => short.end()).toThrow(/not as long/)
  })
})

describe('selecting', () => {
  test('paths are absolute, whatever slashes they have; others are refused', () => {
    expect(['/', '//', '/a/', '/a//b'].map(parsePath)).toEqual(['/', '/', '/a', '/a/b'])
    expect(parsePath('/é')).toBe('/\xc3\xa9')
    for (const path of ['', 'a', '/../a', '/a/.', '/a\0b']) expect(() => parsePath(path)).toThrow()
  })

  test('each directory on the way comes once, and nothing twice', () => {
    const steps = stepsOf(['/a/b/c', '/a/b', '/a/d', '/a/b']).map(({ step, range }) =>
      range.at === 'entry' ? `${step} ${range.dir} ${range.name}` : `${step} ${range.at}`,
    )
    expect(steps).toEqual([
      'ancestor / a',
      'entry /a b',
      'below subtree',
      'entry /a d',
      'below subtree',
    ])
    expect(stepsOf([])).toEqual(stepsOf(['/', '/a']))
  })
})

describe('hard links', () => {
  const entry = {
    type: 'file',
    mode: 0,
    uid: 0,
    gid: 0,
    mtime: 0n,
    size: 1,
    hardlink: 'g',
  } as const
  const named = (
    name: string,
    more: Partial<Entry> = {},
  ): { dir: string; name: string; entry: Entry } => ({
    dir: '/',
    name,
    entry: { ...entry, ...more },
  })

  test('the first name is the file; those that come before it is there, and after, are told where it is', () => {
    const links = createLinks()
    const told: unknown[] = []
    const then = (outcome: unknown): unknown => told.push(outcome)
    const first = links.next('g', named('a'), then)
    expect(links.next('g', named('b'), then)).toEqual({ link: 'later' })
    if (first.link === 'first') first.settle(null)
    links.next('g', named('c'), then)
    expect(told).toEqual([
      { dir: '/', name: 'a' },
      { dir: '/', name: 'a' },
    ])
  })

  test('what is wrong with the first is wrong with all', () => {
    const links = createLinks()
    const told: unknown[] = []
    const problem = { code: 'DAMAGED', details: {} } as const
    const first = links.next('g', named('a'), () => undefined)
    links.next('g', named('b'), (outcome) => told.push(outcome))
    if (first.link === 'first') first.settle(problem)
    expect(told).toEqual([problem])
  })

  test('a name with other content is damage, and beyond the bound a group begins anew', () => {
    const links = createLinks(1)
    const told: unknown[] = []
    const first = links.next('g', named('a'), () => undefined)
    links.next('g', named('b', { size: 2 }), (outcome) => told.push(outcome))
    expect(told).toMatchObject([{ code: 'DAMAGED' }])
    if (first.link === 'first') first.settle(null)
    links.next('h', named('c'), () => undefined)
    expect(links.next('g', named('d'), () => undefined).link).toBe('first')
  })
})

describe('attributes', () => {
  const entry = { type: 'file', mode: 0o6755, uid: 5, gid: 6, mtime: 1n } as const

  test('root gives files away where they are not its own already', () => {
    const maker = { uid: 0, gid: 0, root: true, groupFromTarget: false }
    expect(attributesOf(entry, maker)).toEqual({
      mode: 0o6755,
      mtime: 1n,
      xattrs: [],
      owner: [5, 6],
    })
    expect(attributesOf({ ...entry, uid: 0, gid: 0 }, maker).owner).toBeNull()
    expect(
      attributesOf({ ...entry, uid: 0, gid: 0 }, { ...maker, groupFromTarget: true }).owner,
    ).toEqual([0, 0])
  })

  test('who is not root keeps what is restored, without the rights of who owned it', () => {
    const maker = { uid: 5, gid: 6, root: false, groupFromTarget: false }
    expect(attributesOf(entry, maker)).toEqual({ mode: 0o6755, mtime: 1n, xattrs: [], owner: null })
    expect(attributesOf(entry, { ...maker, uid: 7 })).toEqual({
      mode: 0o755,
      mtime: 1n,
      xattrs: [],
      owner: null,
    })
  })
})

test('the vault is to blame for damage, the world for the rest', () => {
  expect(
    ['DAMAGED', 'MISSING_OBJECT', 'UNSUPPORTED'].map((code) => blame(fail(code as 'DAMAGED'))),
  ).toEqual(['damaged', 'damaged', 'damaged'])
  expect(blame(fail('TARGET_UNSAFE'))).toBe('failed')
})

test('what was used last is remembered', () => {
  const recent = createRecent<number>(2)
  recent.set('a', 1)
  recent.set('b', 2)
  expect(recent.get('a')).toBe(1)
  recent.set('c', 3)
  expect([recent.get('a'), recent.get('b'), recent.get('c')]).toEqual([1, undefined, 3])
  recent.delete('a')
  expect(recent.get('a')).toBeUndefined()
})
