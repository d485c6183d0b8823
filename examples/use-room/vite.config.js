import { env } from 'node:process'
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

export default defineConfig({
  plugins: [react()],
  // The package is a link here, and Vite does not bundle links beforehand.
  optimizeDeps: { include: ['fastify-fan-out/client'] },
  // The Host that the browser sent is kept, so that the server sees a page of the same origin.
  server: { proxy: { '/rooms': { target: env.ROOMS_URL ?? 'http://127.0.0.1:3000', ws: true } } }
})
