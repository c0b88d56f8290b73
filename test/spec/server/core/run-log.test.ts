import { describe, expect, test } from 'vitest'
import { type Run, type RunEvent, step } from '#server/core/backup-machine.ts'
import { backupSum, linesOf, restoreSum } from '#server/core/run-log.ts'
import { showLine } from '#server/core/log-text.ts'

const problem = { code: 'RUN_LOST', message: 'It is gone.' }

/** What is said while these happen to a run, one after the other. */
const told = (...events: RunEvent[]): string[] => {
  let run: Run = { at: 'pending', epoch: 0, paused: null }
  return events.flatMap((event) => {
    const [next] = step(run, event)
    const lines = linesOf('backup', run, next)
    run = next
    return lines.map(({ level, message }) => `${level}: ${message}`)
  })
}

const lease = (link: number): { link: number; until: number } => ({ link, until: 100 })
const offered = { kind: 'dispatched', lease: lease(1), deadline: 1000 } as const
const accepted = { kind: 'accepted', epoch: 1 } as const

describe('the log of a run', () => {
  test('says that it was offered, taken and finished', () => {
    expect(told(offered, accepted, { kind: 'finished', epoch: 1, status: 'completed' })).toEqual([
      'info: Offered to the agent.',
      'info: The agent works on it.',
      'info: The backup is complete.',
    ])
  })

  test('says nothing of heartbeats, and all of connections that are lost and made again', () => {
    const beat: RunEvent = { kind: 'presented', lease: lease(1) }
    const late: RunEvent = { kind: 'tick', now: 500 }
    expect(told(offered, accepted, beat, beat, late, late)).toEqual([
      'info: Offered to the agent.',
      'info: The agent works on it.',
      'warn: The agent is not heard any more. The backup goes on when it is back.',
    ])
    const back: RunEvent = { kind: 'presented', lease: lease(2) }
    expect(told(offered, accepted, late, back).at(-1)).toBe(
      'info: The agent is back, and still works on it.',
    )
    expect(told(offered, accepted, back).at(-1)).toBe(
      'info: The agent goes on over a new connection.',
    )
    expect(told(offered, { ...offered, lease: lease(2) }).at(-1)).toBe(
      'info: Offered to the agent again, over a newer connection.',
    )
  })

  test('says who ended it, and why', () => {
    expect(told(offered, { kind: 'refused', epoch: 1, problem }).at(-1)).toBe('error: It is gone.')
    const cancel: RunEvent = { kind: 'cancel', problem, now: 0 }
    const ended: RunEvent = { kind: 'ended', epoch: 1, status: 'canceled', problem }
    expect(told(offered, accepted, cancel, cancel, ended).slice(2)).toEqual([
      'info: The agent is asked to stop.',
      'warn: It is gone.',
    ])
  })

  test('says when it is paused and when it goes on, while it waits and while it runs', () => {
    const pause: RunEvent = { kind: 'pause', now: 10, until: 500 }
    const resume: RunEvent = { kind: 'resume', now: 20 }
    const said = ['info: It is paused.', 'info: It is resumed.']
    expect(told(pause, pause, resume, resume)).toEqual(said)
    expect(told(offered, accepted, pause, pause, resume, resume).slice(2)).toEqual(said)
  })

  test('names each known problem, and counts the others', () => {
    const counts = { files: 1234, directories: 5, others: 0, changed: 7, skipped: 1 }
    const bytes = { bytes_source: 2048, bytes_new: 1024, bytes_stored: 512 }
    const errors = [{ path: '/a', code: 'SOURCE_UNREADABLE', problem: 'no right' }]
    const lines = backupSum({ counts, ...bytes, errors, error_count: 4 })
    expect(lines.map(({ message }) => message)).toEqual([
      '/a: no right',
      '3 more problems are not listed here; they are in the record of the backup.',
      '1,234 files, 5 directories, 1 skipped; 7 changed, 4 problems. 2.0 KiB in the sources, 1.0 KiB new, 512 B stored.',
    ])
    expect(backupSum({ counts, ...bytes, errors: [], error_count: 0 })).toHaveLength(1)
    const restored = {
      counts: { ...counts, failed: 2, others: 3 },
      bytes_restored: 9,
      bytes_fetched: 10,
    }
    expect(restoreSum(restored)[0]!.message).toBe(
      '1,234 files, 5 directories, 3 others, 1 skipped, 2 failed. 9 B restored, 10 B fetched.',
    )
  })
})

describe('a line as text', () => {
  const at = '2026-11-21T08:00:00.000Z'

  test('has its time, its level, and what it is about', () => {
    const fields = { path: '/etc/a b', code: 'X' }
    expect(showLine({ seq: 1, at, level: 'warn', message: 'cannot', fields })).toBe(
      `${at} WARN  cannot path="/etc/a b" code=X\n`,
    )
  })

  test('is one line, whatever a file is called', () => {
    const message = 'a\nb\rc\u001b[31md\u2028e\u202ef\u0085g'
    const text = showLine({ seq: 1, at, level: 'error', message, fields: { path: 'x\n\u009by' } })
    expect(text.split(/[\n\r\u2028\u2029\u0085]/)).toHaveLength(2)
    expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/)
    expect(text).toContain('a\\u000ab')
  })
})
