import { describe, expect, test } from 'vitest'
import { chooseBackups, perhapsNewer } from '#agent/core/open-choice.ts'
import { jsonBytes, showBytes, showMode, showTime } from '#agent/core/open-show.ts'
import { type Dated, historyGaps } from '#agent/core/restore-history.ts'
import { fail } from '#shared/errors.ts'
import { recordKey } from '#shared/format/layout.ts'
import type { RecordBody } from '#shared/format/record.ts'

describe('the history of a vault', () => {
  const record = (sequence: number, more: Partial<Dated> = {}): Dated => ({
    job: 'j',
    sequence,
    previous: `hash ${sequence - 1}`,
    sha256: `hash ${sequence}`,
    kept: [[1, sequence]],
    ...more,
  })

  test('is whole when each record follows the one before', () => {
    expect(historyGaps([1, 2, 3].map((n) => record(n)))).toEqual([])
    expect(
      historyGaps([
        record(5, { kept: [[5, 5]] }),
        record(9, {
          kept: [
            [5, 5],
            [9, 9],
          ],
        }),
      ]),
    ).toEqual([])
    expect(historyGaps([])).toEqual([])
  })

  test('has gaps where kept numbers are missing, a hash differs, or a number comes twice', () => {
    const gaps = historyGaps([record(1), record(4), record(5, { previous: 'x' }), record(5)])
    expect(gaps).toEqual([
      { gap: 'missing', job: 'j', first: 2, last: 3 },
      { gap: 'broken', job: 'j', sequence: 5 },
      { gap: 'double', job: 'j', sequence: 5 },
    ])
  })

  test('is told of each job apart', () => {
    expect(historyGaps([record(1), record(2, { job: 'k', kept: [[2, 2]] })])).toEqual([])
  })
})

describe('choosing a backup', () => {
  const VAULT = '0190a8a0-0000-7000-8000-000000000001'
  const backup = (n: number, job = 'j'): { key: string; body: RecordBody } => {
    const id = `0190a8a0-0000-7000-8000-00000000000${n}`
    const body = { job, backup: id, sequence: n, started: n * 3_600_000 } as RecordBody
    return { key: recordKey(VAULT, body.started, id), body }
  }
  const all = { backups: [backup(1), backup(2)], problems: [] }

  test('is by id, by job, the newest, or all', () => {
    expect(chooseBackups(all, { backup: 'all' })).toHaveLength(2)
    expect(chooseBackups(all, { backup: 'latest' })[0]?.body.sequence).toBe(2)
    expect(chooseBackups(all, { backup: backup(1).body.backup })[0]?.body.sequence).toBe(1)
    const two = { ...all, backups: [...all.backups, backup(3, 'k')] }
    expect(() => chooseBackups(two, { backup: 'latest' })).toThrow(/--job/)
    expect(chooseBackups(two, { backup: 'latest', job: 'j' })[0]?.body.sequence).toBe(2)
  })

  test('says what is wrong with the record of the one that is named', () => {
    const failure = fail('DAMAGED', { what: 'The record', problem: 'x' })
    const broken = { ...all, problems: [{ key: backup(7).key, failure }] }
    expect(() => chooseBackups(broken, { backup: backup(7).body.backup })).toThrow(failure)
    expect(() => chooseBackups(all, { backup: backup(7).body.backup })).toThrow(/no backup/)
    expect(() => chooseBackups({ backups: [], problems: [] }, { backup: 'latest' })).toThrow(
      /no backup/,
    )
  })

  test('a record that cannot be used may be newer than the newest only when its time is not before it', () => {
    const keys = [backup(1).key, backup(3).key, 'vaults/nonsense']
    expect(perhapsNewer(backup(2), keys)).toEqual([backup(3).key])
  })
})

describe('showing', () => {
  test('bytes that are text are text, others escaped; JSON keeps every byte', () => {
    expect(showBytes('/a\xc3\xa9\n')).toBe('/aé\\x0a')
    expect(showBytes('/\xff')).toBe('/\\xff')
    expect(jsonBytes('path', '/\xc3\xa9')).toEqual({ path: '/é' })
    expect(jsonBytes('path', '/\xff')).toEqual({
      pathb: Buffer.from('/\xff', 'latin1').toString('base64'),
    })
  })

  test('modes are shown as ls does', () => {
    expect(showMode({ type: 'directory', mode: 0o1777 })).toBe('drwxrwxrwt')
    expect(showMode({ type: 'file', mode: 0o6740 })).toBe('-rwsr-S---')
    expect(showMode({ type: 'symlink', mode: 0o1006 })).toBe('l------rwT')
  })

  test('a time that no calendar has is shown as a number', () => {
    expect(showTime(0)).toBe('1970-01-01T00:00:00.000Z')
    expect(showTime(1e17)).toBe('100000000000000000 ms')
  })
})
