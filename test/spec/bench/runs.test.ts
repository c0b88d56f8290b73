import { describe, expect, test } from 'vitest'
import { compared, tableOf } from '../../bench/report.ts'
import {
  median,
  medians,
  mediansOfShares,
  ratiosAgainstRestic,
  type Run,
  type Work,
} from '../../bench/runs.ts'

const run = (tool: string, work: Work, wall: number, rest: Partial<Run> = {}): Run => ({
  tool,
  version: '1.0',
  work,
  wall_s: wall,
  cpu_s: 2 * wall,
  cpu_all_s: 3 * wall,
  peak_kib: 1000 * wall,
  stored_bytes: 10_000 * wall,
  ...rest,
})

const shares = (agent: number): Run['shares'] => ({
  agent,
  control_plane: 2 * agent,
  store: 3,
  database: 4,
})

describe('medians', () => {
  test('are the middle one, or between the middle two, whatever the order', () => {
    expect(median([3, 1, 2])).toBe(2)
    expect(median([10, 9, 100])).toBe(10)
    expect(median([4, 1, 3, 2])).toBe(2.5)
    expect(median([7])).toBe(7)
  })

  test('are taken for each tool and step, in each column by itself', () => {
    const rows = medians([
      run('holdfast', 'first', 1, { peak_kib: 9 }),
      run('restic-s3', 'first', 8),
      run('holdfast', 'first', 3, { peak_kib: 7 }),
      run('holdfast', 'unchanged', 0.5),
      run('holdfast', 'first', 2, { peak_kib: 8 }),
    ])
    expect(rows.map(({ tool, work, wall_s, peak_kib }) => [tool, work, wall_s, peak_kib])).toEqual([
      ['holdfast', 'first', 2, 8],
      ['restic-s3', 'first', 8, 8000],
      ['holdfast', 'unchanged', 0.5, 500],
    ])
  })

  test('of shares leave out whoever has none', () => {
    const [one, two, three] = [1, 2, 9].map((agent) => shares(agent))
    const runs = [one, two, three].map((all) =>
      run('holdfast', 'first', 1, all === undefined ? {} : { shares: all }),
    )
    expect(mediansOfShares([...runs, run('borg', 'restore', 1)])).toEqual({
      first: { agent: 2, control_plane: 4, store: 3, database: 4 },
    })
  })
})

describe('ratios', () => {
  test('are ours over the better of the restic runs, each column by itself', () => {
    const ratios = ratiosAgainstRestic([
      run('holdfast', 'first', 2),
      run('restic-local', 'first', 4, { cpu_s: 40 }),
      run('restic-s3', 'first', 5, { cpu_s: 8 }),
      run('borg', 'first', 1),
    ])
    expect(ratios['first_wall']).toBe(0.5)
    expect(ratios['first_cpu']).toBe(0.5)
    expect(ratios['first_stored']).toBe(0.5)
  })

  test('are null where one of the two did not run or used nothing, and absent for steps that nobody took', () => {
    const ratios = ratiosAgainstRestic([
      run('holdfast', 'changed', 2),
      run('borg', 'changed', 1),
      run('holdfast', 'restore', 2),
      run('restic-s3', 'restore', 0),
    ])
    expect(ratios['changed_wall']).toBeNull()
    expect(ratios['restore_cpu']).toBeNull()
    expect(ratios).not.toHaveProperty('first_wall')
  })
})

describe('a report', () => {
  const names = ['holdfast', 'restic-local', 'restic-s3', 'borg', 'tar|zstd|age']
  const runs = names.flatMap((tool) =>
    (['first', 'unchanged', 'restore'] as const).map((work) =>
      run(tool, work, 12_345.678, { stored_bytes: 123_456_789_012 }),
    ),
  )
  const { lines } = compared({
    name: 'small',
    says: 'small files',
    rounds: 3,
    scale: 1,
    machine: {
      cores: 2,
      memory_bytes: 25_000_000_000,
      kernel: 'Linux 6.1.0-40-cloud-amd64',
      arch: 'x64',
      programs: Object.fromEntries([...names, 'node'].map((name) => [name, '10.20.30-beta.4'])),
    },
    runs,
    shares: { first: { agent: 1, control_plane: 2, store: 3, database: 4 } },
    ratios: ratiosAgainstRestic(runs),
  })

  test('fits 80 columns', () => {
    expect(lines.filter((line) => line.length > 80)).toEqual([])
  })

  test('has a row for each run, with numbers below their heads', () => {
    const rows = lines.filter((line) => names.some((name) => line.startsWith(`${name} `)))
    expect(rows.filter((line) => line.includes('12345.68'))).toHaveLength(runs.length)
    expect(tableOf(['name', 'seconds'], [['a', '1.00']], 1)).toEqual([
      'name  seconds',
      'a        1.00',
    ])
  })
})
