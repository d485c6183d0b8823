import type { From } from '../../lib/rooms/catch-up.js'
import type { Client } from './client.js'
import type { Action } from './schedule.js'
import type { SimulatedServer, World } from './world.js'

/** Lets an action happen. */
export function perform (world: World, action: Action): void {
  const server = 'server' in action ? world.servers[action.server % world.servers.length] as SimulatedServer : undefined
  const client = 'client' in action ? world.clients[action.client % world.clients.length] as Client : undefined
  const history = 'room' in action ? world.cluster.history(world.room(action.room)) : undefined
  switch (action.do) {
    case 'publish': return world.publish(server!, world.room(action.room), action.count)
    case 'subscribe': return world.subscribe(client!, server!, from(world, client!, action.from, action.n), action.abort)
    case 'herd':
      for (const client of world.clients) world.subscribe(client, server!, 'again')
      return
    case 'drop': return client!.drop()
    case 'stall': client!.stalled = true; return
    case 'block': client!.ready = false; return
    case 'take': return client!.take()
    case 'pace': client!.pace = action.ms; return
    case 'fault': {
      const { call, kind, delay, left } = action
      server!.adaptor.faults.push({ call, kind, delay, left })
      return
    }
    case 'cut': return world.cut(server!.adaptor, action.late, action.mend)
    case 'skip': return server!.adaptor.skip()
    case 'repeat': return server!.adaptor.repeat()
    case 'lag': server!.adaptor.lag = action.ms; return
    case 'forget': return history!.forget(action.keep)
    case 'reset':
      history!.reset()
      if (action.doubt) for (const { adaptor } of world.servers) world.cut(adaptor, false, world.random.upTo(20))
      return
    case 'fork':
      history!.fork(action.lost, action.flagged)
      if (action.doubt) for (const { adaptor } of world.servers) world.cut(adaptor, world.random.chance(0.5), world.random.upTo(20))
      return
    case 'restart': return world.restart(server!)
  }
}

function from (world: World, { cursor, room }: Client, from: (Action & { do: 'subscribe' })['from'], n: number): From | 'again' {
  const { top } = world.cluster.history(room)
  switch (from) {
    case 'again': return 'again'
    case 'none': return {}
    case 'earliest': return { since: 'earliest' }
    case 'last': return { last: n }
    // It had stored another cursor than its last.
    case 'earlier': return cursor === undefined ? {} : { since: { epoch: cursor.epoch, offset: Math.max(0, cursor.offset - n) } }
    case 'ahead': return { since: { epoch: top.epoch, offset: top.offset + 1 + n % 3 } }
    case 'forged': return { since: { epoch: n === 0 ? top.epoch : 2 ** 53 - 1, offset: n === 0 ? 2 ** 53 - 1 : n } }
  }
}
