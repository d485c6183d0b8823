import type { Test } from 'tap'
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
// @ts-expect-error: plain JavaScript, run before there is anything to compile
import { find } from './services.mjs'

export interface Certificate {
  certificate: string
  key: string
  /** Settings of Redis, with which it speaks TLS under it. */
  settings: Record<string, string>
}

/** A certificate for this machine that nobody knows yet, in files. */
export async function createCertificate (t: Pick<Test, 'teardown'>): Promise<Certificate> {
  const folder = await mkdtemp(join(tmpdir(), 'fan-out-tls-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')]
  await promisify(execFile)(find('openssl') as string, ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1',
    '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', key, '-out', certificate])
  return { key, certificate, settings: { 'tls-cert-file': certificate, 'tls-key-file': key, 'tls-ca-cert-file': certificate, 'tls-auth-clients': 'no' } }
}

/** Settings of a nats-server, with which it speaks TLS under it; `verify`: with nobody who has it not as well. */
export function natsTls ({ certificate, key }: Certificate, verify = false): string {
  return `tls { cert_file: ${JSON.stringify(certificate)}, key_file: ${JSON.stringify(key)}, ca_file: ${JSON.stringify(certificate)}, verify: ${verify} }`
}
