/** A process that starts the embedded PostgreSQL in the folder it is given, says so in one line, and stays. */
import { systemClock } from '#server/io/clock.ts'
import { startPostgres } from '#server/io/embedded/postgres/start.ts'
import { memoryLog } from './log.ts'

const [folder = ''] = process.argv.slice(2)
// As a program that shuts down in order does: Ctrl-C alone ends nothing.
process.on('SIGINT', () => process.stdout.write('interrupted\n'))
const postgres = await startPostgres(
  { folder, log: memoryLog(), clock: systemClock },
  new AbortController().signal,
)
const { pid, owner, connect } = postgres
process.stdout.write(`${JSON.stringify({ pid, owner, connect })}\n`)
process.stdin.resume()
process.stdin.on('end', () => {
  void postgres.close().then(() => process.exit(0))
})
