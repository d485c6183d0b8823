import type { Cursor } from '../../cursor.js'
import type { Keeper } from './keeper.js'
import type { End, Live } from './live.js'
import type { Newest } from './newest.js'
import { sameCursor } from '../../cursor.js'
import { holds } from './judge.js'
import { emptyTop, isMark, passing, topAt } from './lineage.js'
import { placeOf } from './pack.js'

export interface Comparing { keeper: Keeper, newest: Newest }

/** Where a room stands in which nothing is stored, for whoever stands at `position`. */
export function emptyFor (keeper: Keeper, position: Cursor | undefined): Cursor {
  return position !== undefined && holds(keeper, position) ? passing(keeper.lineage, position) : emptyTop(keeper.lineage)
}

/** Where a room stands, for this server, which stands at `seen`. `live`: where the room is subscribed to. */
export async function compare (comparing: Comparing, subject: string, live: Live | undefined, seen: Cursor, end: End, deadline: number): Promise<Cursor> {
  const { keeper, newest } = comparing
  const stands = live?.position !== undefined && sameCursor(live.position, seen)
  // Nothing at all was stored since.
  if (stands && live!.stoodAt(end)) return seen
  const sequence = (await newest.of(subject, deadline))?.sequence
  const { lineage } = keeper
  const place = placeOf(seen)
  let top: Cursor
  if (sequence === undefined) top = stands ? passing(lineage, live!.whereNothingIsStored()) : emptyFor(keeper, seen)
  else if (sequence < place && isMark(lineage, place) && holds(keeper, seen)) top = passing(lineage, seen)
  else top = topAt(lineage, sequence)
  if (sameCursor(top, seen)) live?.note(top, end)
  return top
}
