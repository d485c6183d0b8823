import { testClient } from './client.js'

testClient('chromium')
