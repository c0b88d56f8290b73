import type { Reporter, TestCase, TestModule } from 'vitest/node'

type Count = { passed: number; failed: number; skipped: number }

/** Ends a run with the line that CI counts by, from the runner's own results, and names each skipped test. */
export default class ClosingLine implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    const count: Count = { passed: 0, failed: errors.length, skipped: 0 }
    const skipped: string[] = []
    for (const module of modules) {
      const tests = [...module.children.allTests()]
      // A file that could not even be loaded has no tests to fail: it is itself the failure.
      if (module.state() === 'failed' && !tests.some((test) => test.result().state === 'failed'))
        count.failed += 1
      for (const test of tests) add(count, skipped, test)
    }
    const lines = skipped.map((name) => `skipped: ${name}`)
    lines.push(
      `${String(count.passed)} passed, ${String(count.failed)} failed` +
        (count.skipped === 0 ? '' : `, ${String(count.skipped)} skipped`),
    )
    // After the other reporters have said what they say at the end of a run.
    process.once('exit', () => process.stdout.write(`${lines.join('\n')}\n`))
  }
}

const add = (count: Count, skipped: string[], test: TestCase): void => {
  const { state } = test.result()
  if (state === 'passed') count.passed += 1
  else if (state === 'failed') count.failed += 1
  else {
    count.skipped += 1
    skipped.push(test.fullName)
  }
}
