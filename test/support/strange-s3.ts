/** An S3 storage that does one thing differently: a proxy that answers some requests itself, and passes on the others. */
import http, { type IncomingMessage, type ServerResponse } from 'node:http'

export type Strange = {
  readonly endpoint: string
  close(): Promise<void>
}

/** `null`: as the storage behind it does. `hang`: no answer, ever. */
export type Bend = (
  request: IncomingMessage,
) => { readonly status: number; readonly code?: string } | 'hang' | 'whole' | null

const errorBody = (code: string): string =>
  `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>no</Message></Error>`

const passOn = (
  request: IncomingMessage,
  response: ServerResponse,
  [port, without]: readonly [number, readonly string[]],
): void => {
  const headers = Object.fromEntries(
    Object.entries(request.headers).filter(([name]) => !without.includes(name)),
  )
  const { method, url } = request
  const onwards = http.request(
    { host: '127.0.0.1', port, method, path: url, headers },
    (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers)
      answer.pipe(response)
    },
  )
  onwards.on('error', () => response.destroy())
  request.pipe(onwards)
}

export const startStrangeS3 = async (port: number, bend: Bend): Promise<Strange> => {
  const server = http.createServer((request, response) => {
    const answer = bend(request)
    if (answer === 'hang') request.resume()
    else if (answer === 'whole') passOn(request, response, [port, ['range']])
    else if (answer === null) passOn(request, response, [port, []])
    else {
      request.resume()
      request.on('end', () => {
        response.writeHead(answer.status, { 'content-type': 'application/xml' })
        response.end(answer.code === undefined ? '' : errorBody(answer.code))
      })
    }
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    endpoint: `http://127.0.0.1:${address.port}`,
    close: async () => {
      server.closeAllConnections()
      await new Promise((closed) => server.close(closed))
    },
  }
}
