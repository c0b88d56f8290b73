import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { UNLIMITED } from '#shared/limits.ts'
import { KiB, MiB, SECOND } from '#shared/units.ts'
import { newLine, pieceOf, reserve } from '#agent/core/line.ts'
import type { Extractors } from '#agent/core/restore-ports.ts'
import { createThrottling, throttledReads } from '#agent/flow/throttle.ts'
import { manualClock } from '../../support/manual-clock.ts'

const NEVER = new AbortController().signal
const OPEN = { upload: null, download: null }

describe('a line', () => {
  test('never carries more than its rate and a tenth of a second, whoever asks for how much and when', () => {
    const asked = fc.record({
      bytes: fc.integer({ min: 1, max: MiB }),
      later: fc.integer({ min: 0, max: 3000 }),
    })
    fc.assert(
      fc.property(fc.integer({ min: 64 * KiB, max: 64 * MiB }), fc.array(asked), (rate, all) => {
        let [line, now, sent] = [newLine(rate, 0), 0, 0]
        for (const { bytes, later } of all) {
          now += later
          const [next, wait] = reserve(line, bytes, now)
          line = next
          sent += bytes
          expect(sent).toBeLessThanOrEqual((rate * (now + wait + 100)) / SECOND + 1)
        }
      }),
    )
  })

  test('is used in pieces of a twentieth of a second', () => {
    expect(pieceOf(MiB, 16 * MiB)).toBe(Math.floor(MiB / 20))
    expect(pieceOf(64 * KiB, 16 * MiB)).toBe(4 * KiB)
    expect(pieceOf(1e12, 16 * MiB)).toBe(MiB)
    expect(pieceOf(MiB, 10)).toBe(10)
  })
})

describe('the limits of a machine', () => {
  /** Takes pieces one after the other, for as long as it is let. */
  const sender = (throttle: ReturnType<typeof createThrottling>['upload']) => {
    const stop = new AbortController()
    const seen = { bytes: 0, pieces: 0, ended: Promise.resolve() }
    const send = async (): Promise<void> => {
      while (!stop.signal.aborted) {
        seen.bytes += await throttle(16 * MiB, stop.signal)
        seen.pieces += 1
      }
    }
    seen.ended = send().catch(() => undefined)
    return { seen, stop: () => stop.abort() }
  }

  test('are shared by all that send, evenly in time, and another one is felt at once', async () => {
    const clock = manualClock()
    const throttling = createThrottling(clock)
    throttling.set({ ...UNLIMITED, upload_limit: MiB }, OPEN)
    const senders = [sender(throttling.upload), sender(throttling.upload)]
    const sum = (): number => senders.reduce((all, { seen }) => all + seen.bytes, 0)
    for (let second = 1; second <= 5; second += 1) {
      await clock.advance(SECOND)
      expect(sum()).toBeGreaterThan(0.9 * second * MiB)
      expect(sum()).toBeLessThan(1.2 * second * MiB + MiB / 5)
    }
    const [one, two] = senders.map(({ seen }) => seen.bytes)
    expect(Math.abs((one ?? 0) - (two ?? 0))).toBeLessThan(MiB / 4)
    const before = sum()
    throttling.set({ ...UNLIMITED, upload_limit: 4 * MiB }, OPEN)
    await clock.advance(SECOND)
    expect(sum() - before).toBeGreaterThan(3 * MiB)
    for (const { stop, seen } of senders) {
      stop()
      await seen.ended
    }
  })

  test('have a restore wait for its share before each read', async () => {
    const clock = manualClock()
    const throttling = createThrottling(clock)
    throttling.set({ ...UNLIMITED, download_limit: MiB }, OPEN)
    const begun: number[] = []
    const own: Extractors = {
      width: 1,
      run: async (job) => {
        begun.push(clock.monotonic())
        return Promise.resolve({ files: [], pieces: [], notSet: [], fetched: job.frames.length })
      },
      close: async () => Promise.resolve(),
    }
    const readOnce = async () => {
      begun.push(clock.monotonic())
      return Promise.resolve({ done: 'read' as const, bytes: new Uint8Array() })
    }
    const reads = throttledReads({ readOnce, extractors: () => own }, throttling.download, NEVER)
    const job = { object: null, files: [], frames: [{ offset: 0, length: 2 * MiB, pieces: [] }] }
    const extracted = reads.extractors(new Uint8Array(), 't').run(job)
    const read = reads.readOnce({ at: { url: 'u' }, key: 'k' }, { start: 0, end: MiB }, NEVER)
    await clock.advance(4 * SECOND)
    await Promise.all([extracted, read])
    expect(begun[0]).toBeGreaterThan(1.5 * SECOND)
    expect(begun[1]).toBeGreaterThan(2.5 * SECOND)
  })

  test('are none unless they were said, and never above what this machine allows', async () => {
    const clock = manualClock()
    const throttling = createThrottling(clock)
    expect(await throttling.upload(16 * MiB, NEVER)).toBe(16 * MiB)
    throttling.set({ ...UNLIMITED, upload_limit: 64 * MiB }, { upload: MiB, download: null })
    expect(await throttling.upload(16 * MiB, NEVER)).toBe(Math.floor(MiB / 20))
    expect(await throttling.download(16 * MiB, NEVER)).toBe(16 * MiB)
    throttling.set(UNLIMITED, { upload: null, download: MiB })
    expect(await throttling.upload(16 * MiB, NEVER)).toBe(16 * MiB)
    expect(await throttling.download(16 * MiB, NEVER)).toBe(Math.floor(MiB / 20))
  })
})
