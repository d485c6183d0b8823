import type { RoomView } from './room-view.js'

// In ms.
const PAUSE = 3_000

/**
 * Asks who is in each room, again and again. Joins and leaves could be told over the WebSocket, but this server lets only the
 * publish key see who is there, and that key is no subscriber's token.
 */
export function watchPresence (rooms: Map<string, RoomView>, key: () => string | null): void {
  const ask = async (view: RoomView): Promise<void> => {
    const response = await fetch(`/rooms/${encodeURIComponent(view.name)}/presence`, { headers: { authorization: `Bearer ${key()}` } })
    view.showPresent(response.ok ? (await response.json()).members : undefined)
  }
  const askAll = async (): Promise<void> => {
    if (key() && !document.hidden) await Promise.all([...rooms.values()].map((view) => ask(view).catch(() => view.showPresent(undefined))))
    setTimeout(askAll, PAUSE)
  }
  void askAll()
}
