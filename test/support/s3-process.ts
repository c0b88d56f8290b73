/** `node s3-process.ts FOLDER`: the embedded S3 endpoint until its input ends; prints its port. */
import { startS3Thread } from '#server/io/embedded/s3/start.ts'

const [, , folder] = process.argv
if (folder === undefined) throw new Error('usage: s3-process.ts FOLDER')
const server = await startS3Thread({
  folder,
  host: '127.0.0.1',
  port: 0,
  region: 'us-east-1',
  keys: new Map([['HOLDFASTTESTKEY', 'not/a+real=secret']]),
})
process.stdout.write(`${server.port}\n`)
process.stdin.resume()
process.stdin.once('end', () => void server.close())
