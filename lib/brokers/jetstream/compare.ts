import type { Cursor } from '../../cursor.js'
import type { Api } from './api.js'
import type { Keeper } from './keeper.js'
import type { End, Live } from './live.js'
import type { Windows } from './window.js'
import { sameCursor } from '../../cursor.js'
import { holds } from './judge.js'
import { belongs, emptyTop, isMark, passing, topAt } from './lineage.js'
import { placeOf } from './pack.js'

export interface Comparing { api: Api, keeper: Keeper, windows: Windows }

/** Where a room stands in which nothing is stored, for whoever stands at `position`. */
export function emptyFor (keeper: Keeper, position: Cursor | undefined): Cursor {
  return position !== undefined && holds(keeper, position) ? passing(keeper.lineage, position) : emptyTop(keeper.lineage)
}

/** Where a room stands, for this server, which stands at `seen`. `live`: where the room is subscribed to. */
export async function compare (comparing: Comparing, subject: string, live: Live | undefined, seen: Cursor, end: End, deadline: number): Promise<Cursor> {
  const { api, keeper, windows } = comparing
  const stands = live?.position !== undefined && sameCursor(live.position, seen)
  // Nothing at all was stored since.
  if (stands && live!.stoodAt(end)) return seen
  const { lineage } = keeper
  const place = placeOf(seen)
  let newest = await api.lastOfAny(subject, deadline)
  // Whoever was asked may be behind.
  if (newest === undefined || newest < place || newest > keeper.high) newest = (await windows.newest(subject, deadline))?.sequence
  let top: Cursor
  if (newest === undefined || !belongs(lineage, newest)) top = stands ? passing(lineage, live!.whereNothingIsStored()) : emptyFor(keeper, seen)
  else if (newest < place && isMark(lineage, place) && holds(keeper, seen)) top = passing(lineage, seen)
  else top = topAt(lineage, newest)
  if (sameCursor(top, seen)) live?.note(top, end)
  return top
}
