import Fastify from 'fastify'
import fanOut from '../../index.js'

// A server in a process of its own, so that it can be killed. Nothing else is to start it: `tap test/presence` would wait for its end.
const [, , broker] = process.argv
if (broker === undefined) process.exit()
const app = Fastify()
await app.register(fanOut, { broker, presence: true, authorize: () => true })
process.send?.(await app.listen({ host: '127.0.0.1', port: 0 }))
process.on('disconnect', () => process.exit())
