import { test } from 'tap'
import { NatsReader } from './nats-proxy.js'

const FRAMES = [
  'INFO {"server_id":"x"}\r\n', 'PING\r\n', 'PONG\r\n', '+OK\r\n', "-ERR 'Slow Consumer'\r\n",
  'MSG rooms.a 1 5\r\na\r\nbc\r\n', 'MSG rooms.a 1 reply.to 0\r\n\r\n', 'HMSG rooms.b 2 12 17\r\nNATS/1.0\r\n\r\nMSG a\r\n',
  'MSG _INBOX.x.1 4 9\r\n{"seq":1}\r\n', 'MSG other.rooms.a 3 1\r\nx\r\n',
  'MSG other.rooms.a 3 $JS.ACK.stream.name.1.2.3.4.0 1\r\nx\r\n'
]
const KINDS = ['other', 'other', 'reply', 'other', 'other', 'message', 'message', 'message', 'reply', 'other', 'reply']

test('what NATS sends is taken apart, however it is cut into packets', async (t) => {
  const bytes = Buffer.from(FRAMES.join(''))
  for (let size = 1; size <= bytes.length; size++) {
    const reader = new NatsReader(/^rooms\./)
    const packets = []
    for (let at = 0; at < bytes.length; at += size) packets.push(...reader.received(bytes.subarray(at, at + size)))
    t.strictSame(packets.map(({ data }) => data.toString()), FRAMES, `${size} bytes at a time`)
    t.strictSame(packets.map(({ kind }) => kind), KINDS)
  }
})
