import { testClient } from './client.js'

testClient('firefox')
