import { posts, publishJetStream, publishMany, saturation, servers } from '../../bench/workloads/servers.js'
import { testWorkloads } from './workloads.js'

testWorkloads([posts, publishJetStream, publishMany, saturation, servers])
