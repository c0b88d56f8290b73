/** The readable reference comes from the control plane alone: nobody else learns who reads it, and it works where there is no internet. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { App } from '#server/entry/http/app.ts'
import { bareApp } from '../support/api-document.ts'

const HERE = 'http://control-plane.test'

let app: App
beforeAll(async () => {
  app = await bareApp()
})
afterAll(async () => app.close())

const get = async (url: string) => app.inject({ method: 'GET', url, headers: { host: 'x' } })

/** Addresses that a page loads, as the browser makes them of those in its text. */
const loadedBy = (html: string, page: string): readonly URL[] =>
  [...html.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, url]) => new URL(url ?? '', page))

const withoutComments = (text: string): string =>
  text.replace(/^\s*\/\/.*$/gm, '').replace(/\/\*[\s\S]*?\*\//g, '')

describe.each(['/docs', '/docs/'])('%s', (path) => {
  test('loads its own files only, and they are there', async () => {
    const page = await get(path)
    expect([page.statusCode, page.headers['content-type']]).toEqual([
      200,
      'text/html; charset=utf-8',
    ])
    const urls = loadedBy(page.body, `${HERE}${path}`)
    expect(urls.length).toBeGreaterThan(5)
    expect(urls.filter(({ origin }) => origin !== HERE)).toEqual([])
    for (const { pathname } of urls)
      expect([pathname, (await get(pathname)).statusCode]).toEqual([pathname, 200])
    expect(page.body).not.toMatch(/<script(?![^>]*\bsrc=)|<style|\bon\w+=|\bstyle=/)
  })
})

describe('the reference', () => {
  test('reads the document from beside itself, and shows it to no validator', async () => {
    const script = withoutComments((await get('/docs/static/swagger-initializer.js')).body)
    expect(script).not.toMatch(/https?:|["'`]\/\//)
    expect(script).toContain("url: resolveUrl('./json')")
    expect(script).toContain('"validatorUrl":null')
    const shown = await get('/docs/json')
    expect(shown.statusCode).toBe(200)
    expect(shown.json()).toEqual((await get('/openapi.json')).json())
  })

  test('has styles that fetch nothing', async () => {
    for (const name of ['swagger-ui.css', 'index.css']) {
      const css = withoutComments((await get(`/docs/static/${name}`)).body)
      const fetched = [...css.matchAll(/@import[^;]*|url\(\s*["']?([^)"']{0,40})/g)]
      expect(fetched.filter(([, url]) => url?.startsWith('data:') !== true)).toEqual([])
    }
  })

  test('may load nothing from another host, whatever its scripts try', async () => {
    for (const path of ['/docs', '/docs/', '/docs/static/swagger-initializer.js', '/healthz']) {
      const policy = String((await get(path)).headers['content-security-policy'])
      const directives = policy.split(';').map((directive) => directive.trim().split(/\s+/))
      const sources = directives.flatMap(([, ...values]) => values)
      const own = ["'self'", "'none'", "'unsafe-inline'", 'data:']
      expect([path, sources.filter((source) => !own.includes(source))]).toEqual([path, []])
      const of = (name: string) => directives.find(([first]) => first === name)?.slice(1)
      expect(of('default-src')).toEqual(["'self'"])
      expect(of('script-src')).toEqual(["'self'"])
      expect(of('connect-src')).toEqual(["'self'"])
    }
  })
})
