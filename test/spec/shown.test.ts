import { describe, expect, test } from 'vitest'
import type { Backup } from '#shared/api/backups.ts'
import { shown } from '#shared/shown.ts'
import { plain } from '#shared/table.ts'
import { backupLines } from '#server/entry/cli/summary.ts'

/** Clears the screen, begins a line, turns text around, in both forms of the escape. */
const HOSTILE = 'a\u001b[2Jb\r\nc\u009b31md\u202etxt.exe\u2066'

describe('what could change a terminal', () => {
  test('is written out', () => {
    expect(shown(HOSTILE)).toBe('a\\x1b[2Jb\\x0d\\x0ac\\x9b31md\\u{202e}txt.exe\\u{2066}')
    expect(shown('/srv/grün 日本 😀')).toBe('/srv/grün 日本 😀')
  })

  test('takes one character in a table', () => {
    expect(plain('a\u001bb\u202ec')).toBe('a\ufffdb\ufffdc')
  })

  test('does not reach it in the summary of a backup', () => {
    const lines = backupLines({
      status: 'partial',
      started_at: null,
      completed_at: null,
      counts: null,
      error: { code: 'X', message: `about ${HOSTILE}` },
      error_count: 7,
      errors: [{ path: `/srv/${HOSTILE}`, code: 'SOURCE_UNREADABLE', problem: HOSTILE }],
    } as unknown as Backup)
    expect(lines.join('')).toContain('/srv/a\\x1b[2Jb\\x0d\\x0ac')
    expect(lines.join('')).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/)
    expect(lines.at(-1)).toBe('    and 6 more')
  })
})
