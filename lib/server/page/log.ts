import { make } from './dom.js'

export interface Row { kind: 'message' | 'gap' | 'note' | 'away' | 'refused', text: string, title?: string, id?: string }

const ROWS = 500
// In px: so near to its end the log is followed.
const NEAR = 40

/** The last rows of a room, drawn once a frame however many come. */
export class Log {
  readonly element = make('div', '', 'log')
  readonly #list = make('ol')
  readonly #empty = make('p', 'Nothing yet. What is published to this room appears here, on every page that has joined it.', 'empty')
  #rows: Array<Row & { time: string }> = []

  constructor (label: string) {
    // A reader may go through it; the announcer says what is new.
    this.element.setAttribute('role', 'log')
    this.element.setAttribute('aria-live', 'off')
    this.element.setAttribute('aria-label', label)
    this.element.tabIndex = 0
    this.element.append(this.#list, this.#empty)
  }

  add (row: Row): void {
    if (this.#rows.push({ ...row, time: new Date().toLocaleTimeString('en-GB') }) === 1) requestAnimationFrame(() => this.#draw())
    // No frame comes while the page is hidden.
    else if (this.#rows.length > ROWS) this.#rows.shift()
  }

  #draw (): void {
    const { element } = this
    const follows = element.scrollHeight - element.scrollTop - element.clientHeight < NEAR
    this.#empty.hidden ||= this.#rows.some(({ kind }) => kind === 'message' || kind === 'gap')
    this.#list.append(...this.#rows.map(draw))
    this.#rows = []
    while (this.#list.childElementCount > ROWS) this.#list.firstElementChild!.remove()
    if (follows) element.scrollTop = element.scrollHeight
  }
}

function draw ({ kind, time, id, title, text }: Row & { time: string }): HTMLElement {
  const meta = make('div', '', 'meta')
  meta.append(make('time', time))
  if (id) meta.append(make('code', id, 'cursor'))
  const row = make('li', '', kind)
  row.append(meta)
  if (title) row.append(make('strong', title))
  row.append(kind === 'message' ? make('pre', text) : make('span', text))
  return row
}
