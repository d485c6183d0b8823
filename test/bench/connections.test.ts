import { handshakes, idle, storm, subscriptions } from '../../bench/workloads/connections.js'
import { testWorkloads } from './workloads.js'

testWorkloads([handshakes, idle, storm, subscriptions])
