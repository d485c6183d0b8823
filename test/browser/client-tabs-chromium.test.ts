import { testSharedTabs } from './shared-tabs.js'

testSharedTabs('chromium')
