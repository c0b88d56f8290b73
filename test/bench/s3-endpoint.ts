/** The embedded S3 endpoint as a process of its own, so that its CPU time can be told from a peer's. Prints its port. */
import { systemClock } from '#server/io/clock.ts'
import { makeLog } from '#server/io/log.ts'
import { serveS3 } from '#server/io/embedded/s3/serve.ts'

const [folder = '', accessKey = '', secretKey = ''] = process.argv.slice(2)
const server = await serveS3({
  folder,
  host: '127.0.0.1',
  port: 0,
  region: 'us-east-1',
  keys: new Map([[accessKey, secretKey]]),
  clock: systemClock,
  log: makeLog({ level: 'warn' }),
})
process.stdout.write(`${server.port}\n`)
process.stdin.resume()
process.stdin.on('end', () => void server.close())
