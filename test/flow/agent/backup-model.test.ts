import {
  appendFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { expectComplete, expectNothingLost, newRig } from '../../support/agent-backup-checks.ts'

/** Few names, some of which sort around the slash, so that folders and files meet, replace and enclose each other. */
const name = fc.constantFrom('a', 'a-', 'a.b', 'b', 'B', 'ü', '0', 'z z')
const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'))
const edit = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('write' as const),
      path,
      size: fc.constantFrom(0, 1, 100, 5000),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('append' as const), path }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('folder' as const), path }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('remove' as const), path }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('link' as const), path, to: path }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('symlink' as const), path, to: path }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('move' as const), path, to: path }) },
)
type Edit = typeof edit extends fc.Arbitrary<infer T> ? T : never

let serial = 0

const apply = (root: string, step: Edit): void => {
  const at = join(root, step.path)
  mkdirSync(dirname(at), { recursive: true })
  switch (step.do) {
    case 'write':
      serial += 1
      writeFileSync(at, `${serial}`.repeat(step.size).slice(0, step.size))
      return
    case 'append':
      appendFileSync(at, 'more')
      return
    case 'folder':
      mkdirSync(at, { recursive: true })
      return
    case 'remove':
      rmSync(at, { recursive: true, force: true })
      return
    case 'link':
      mkdirSync(dirname(join(root, step.to)), { recursive: true })
      linkSync(at, join(root, step.to))
      return
    case 'symlink':
      symlinkSync(step.to, at)
      return
    case 'move':
      mkdirSync(dirname(join(root, step.to)), { recursive: true })
      renameSync(at, join(root, step.to))
  }
}

/** Edits that the present state does not allow (a file where a folder should be, …) change nothing. */
const attempt = (root: string, step: Edit): void => {
  try {
    apply(root, step)
  } catch (error) {
    if (!(error instanceof Error) || !('syscall' in error)) throw error
  }
}

const rounds = fc.array(fc.array(edit, { maxLength: 12 }), { minLength: 2, maxLength: 4 })

test('whatever changes between backups, each gives back what was there, counts it, and names what it uses', async () => {
  await fc.assert(
    fc.asyncProperty(rounds, async (edits) => {
      const r = newRig()
      for (const round of edits) {
        for (const step of round) attempt(r.source, step)
        await r.backup()
        expectComplete(r)
        expectNothingLost(r)
        const { counts, errors } = r.read().record
        expect(errors.count).toBe(0)
        const seen = [...r.read().entries.values()]
        const files = seen.filter(({ entry }) => entry.type === 'file').length
        expect(counts.files).toBe(files)
        expect(counts.changed + counts.unchanged).toBe(seen.length)
      }
      // Nothing changed since: everything is copied, nothing is read or stored but the record.
      const before = r.cp.puts.length
      await r.backup()
      expect(r.read().record.counts.changed).toBe(0)
      expect(r.cp.puts.length).toBe(before + 1)
      expect(existsSync(join(r.state, 'jobs'))).toBe(true)
      r.dispose()
    }),
    { numRuns: 12 },
  )
})
