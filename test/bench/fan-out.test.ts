import { batches, busyRooms, lone, singles } from '../../bench/workloads/fan-out.js'
import { testWorkloads } from './workloads.js'

testWorkloads([batches, busyRooms, lone, singles])
