import type { Workload } from './workload.js'
import { handshakes, idle, storm, subscriptions } from './connections.js'
import { batches, busyRooms, lone, singles } from './fan-out.js'
import { posts, publishJetStream, publishMany, saturation, servers } from './servers.js'

export const workloads: Workload[] = [
  batches, singles, lone, busyRooms, idle, handshakes, subscriptions, storm, posts, publishMany, publishJetStream, saturation, servers
]
