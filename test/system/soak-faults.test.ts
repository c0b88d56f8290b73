import { expect, test } from 'vitest'
import { drive } from '../soak/drive.ts'
import { check } from '../soak/faults.ts'

const FAULTS = ['cut-response', 'socket-cut']

test('a store and a line that break in a tenth of all answers cost no backup and no file', async () => {
  const { failures, cases, kinds } = await drive(check, {
    name: 'faults',
    seed: 'slice',
    chosen: { faults: FAULTS.join(','), backups: '2', large: '1' },
    more: (done) => done < FAULTS.length,
  })
  expect(failures).toEqual([])
  expect(cases).toBe(FAULTS.length)
  expect(Object.keys(kinds).sort()).toEqual([...FAULTS].sort())
})
