// The checks in their order; the first failure ends it (`npm run check`, and the first half of `npm test`).
import { ensureInstalled, environment, findNode, foreground, ROOT } from './ensure.js'

const bin = (path) => `${ROOT}node_modules/${path}`

const STATIC = [
  ['format', [bin('prettier/bin/prettier.cjs'), '--check', '--log-level', 'warn', '.']],
  ['types', [bin('typescript/bin/tsc'), '-p', '.']],
  ['lint', [bin('eslint/bin/eslint.js'), '--config', 'test/arch/eslint.config.js', '.']],
  [
    'boundaries',
    [
      bin('dependency-cruiser/bin/dependency-cruiser.mjs'),
      ...['--config', 'test/arch/dependency-cruiser.cjs', '--output-type', 'err'],
      ...['agent', 'server', 'shared', 'test'],
    ],
  ],
]

const vitest = (args) => [
  bin('vitest/vitest.mjs'),
  'run',
  '--config',
  'test/vitest.config.ts',
  ...args,
]

/** Runs the static checks, then the test projects (all when none is named); the exit code of the first that failed. */
export const runChecks = async (projects, args) => {
  ensureInstalled()
  const node = findNode()
  const steps = [
    ...STATIC,
    ['tests', vitest([...projects.flatMap((name) => ['--project', name]), ...args])],
  ]
  for (const [name, command] of steps) {
    process.stdout.write(`\n== ${name}\n`)
    const code = await foreground(node, command, { cwd: ROOT, env: environment(node) })
    if (code !== 0) {
      process.stderr.write(`holdfast: "${name}" failed; see above\n`)
      return code
    }
  }
  return 0
}
