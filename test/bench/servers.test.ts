import { posts, publishMany, saturation, servers } from '../../bench/workloads/servers.js'
import { testWorkloads } from './workloads.js'

testWorkloads([posts, publishMany, saturation, servers])
