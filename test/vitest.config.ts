import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

/** So many files at once: most of the time their tests wait for processes, leases and deadlines. */
const WORKERS = 2

/** `groupOrder` runs the cheap projects first; `system` starts real processes, at their usual ports, and goes last, one file at a time. */
const project = (name: string, groupOrder: number, testTimeout: number): object => ({
  extends: true,
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    testTimeout,
    hookTimeout: testTimeout,
    pool: 'forks',
    maxWorkers: name === 'system' ? 1 : WORKERS,
    sequence: { groupOrder },
  },
})

export default defineConfig({
  root: fileURLToPath(new URL('..', import.meta.url)),
  test: {
    reporters: ['default', fileURLToPath(new URL('support/closing-line.ts', import.meta.url))],
    projects: [
      project('spec', 1, 60_000),
      project('arch', 2, 60_000),
      project('flow', 3, 60_000),
      project('contract', 4, 180_000),
      project('system', 5, 600_000),
    ],
  },
})
