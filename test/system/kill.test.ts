import { expect, test } from 'vitest'
import { drive, type SoakResult } from '../soak/drive.ts'
import { check } from '../soak/kill.ts'

const ROUND = 3

/** One kill of each victim. */
const killAll = async (start: 'serve' | 'up'): Promise<SoakResult> =>
  drive(check, {
    name: 'kill',
    seed: `slice ${start}`,
    chosen: { start },
    more: (cases) => cases < ROUND,
  })

const expectNothingBroken = ({ failures, cases }: SoakResult): void => {
  expect(failures).toEqual([])
  expect(cases).toBe(ROUND)
}

test('agent, control plane and database, killed one after the other in a backup, break no promise', async () => {
  expectNothingBroken(await killAll('serve'))
})

test('nor do they where the control plane keeps the two others, and the store', async () => {
  expectNothingBroken(await killAll('up'))
})
