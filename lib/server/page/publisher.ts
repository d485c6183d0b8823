import type { Measures } from './measures.js'
import { find } from './dom.js'

// A second, where it publishes by itself.
const RATE = 5
const KEY = 'fan-out-key'

/** The form that publishes as a backend does: by POST, with the publish key; and the line for a shell that does the same. */
export class Publisher {
  readonly #measures: Measures
  readonly #room = find('target', HTMLSelectElement)
  readonly #data = find('data', HTMLTextAreaElement)
  readonly #key = find('key', HTMLInputElement)
  readonly #result = find('published', HTMLOutputElement)
  readonly #stream = find('stream', HTMLButtonElement)
  readonly #curl = find('curl', HTMLElement)
  #timer: ReturnType<typeof setInterval> | undefined
  #sent = 0

  constructor (measures: Measures) {
    this.#measures = measures
    this.#key.value = sessionStorage.getItem(KEY) ?? ''
    const form = find('publish', HTMLFormElement)
    form.addEventListener('submit', (event) => {
      event.preventDefault()
      void this.#publish(this.#body())
    })
    this.#data.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) form.requestSubmit()
    })
    this.#stream.addEventListener('click', () => this.#timer ? this.#stop() : this.#begin())
    this.#room.addEventListener('change', () => this.#showCurl())
    this.#data.addEventListener('input', () => this.#showCurl())
    find('copy', HTMLButtonElement).addEventListener('click', () => this.#copy())
    this.#showCurl()
  }

  /** The key that the server has taken, if any. */
  get key (): string | null {
    return sessionStorage.getItem(KEY)
  }

  /** The rooms that may be chosen. */
  offer (rooms: string[]): void {
    const { value } = this.#room
    this.#room.replaceChildren(...rooms.map((room) => new Option(room)))
    this.#room.value = rooms.includes(value) ? value : rooms.at(-1) ?? ''
    this.#room.disabled = rooms.length === 0
    this.#showCurl()
  }

  #begin (): void {
    this.#timer = setInterval(() => this.#publish(this.#numbered()), 1000 / RATE)
    this.#stream.setAttribute('aria-pressed', 'true')
  }

  #stop (): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#stream.setAttribute('aria-pressed', 'false')
  }

  /** The JSON that the field stands for: itself where it is JSON, otherwise the string that it is. */
  #body (): string {
    const text = this.#data.value
    try {
      JSON.parse(text)
      return text
    } catch {
      return JSON.stringify(text)
    }
  }

  /** An object is given a number, so that one sees that none is missing. */
  #numbered (): string {
    const data: unknown = JSON.parse(this.#body())
    return data !== null && typeof data === 'object' && !Array.isArray(data) ? JSON.stringify({ n: ++this.#sent, ...data }) : this.#body()
  }

  async #publish (body: string): Promise<void> {
    const key = this.#key.value
    const room = this.#room.value
    if (!room) return this.#say('bad', 'Join a room first.')
    if (!key) {
      this.#say('bad', 'Publishing asks for the publish key, which the server prints as it starts.')
      return this.#key.focus()
    }
    const at = performance.now()
    try {
      const response = await fetch(this.#address(room), { method: 'POST', headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' }, body })
      const { id, message } = await response.json()
      if (!response.ok) return this.#say('bad', message)
      // Only a key that was accepted is worth keeping, and not beyond this tab.
      sessionStorage.setItem(KEY, key)
      this.#measures.published(room, id, at)
      this.#say('good', `Published at ${id}`)
    } catch {
      this.#say('bad', 'The server did not answer. It may have published, or not.')
    }
  }

  #say (result: 'good' | 'bad', text: string): void {
    if (result === 'bad') this.#stop()
    this.#result.dataset['result'] = result
    this.#result.textContent = text
  }

  #address (room: string): URL {
    return new URL(`/rooms/${encodeURIComponent(room)}`, location.href)
  }

  #showCurl (): void {
    const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`
    this.#curl.textContent = `curl ${quote(this.#address(this.#room.value || 'demo').href)} -H "authorization: Bearer $FAN_OUT_PUBLISH_KEY" -H 'content-type: application/json' -d ${quote(this.#body())}`
  }

  async #copy (): Promise<void> {
    // No clipboard outside https and localhost: then the line is selected, to be copied by hand.
    await navigator.clipboard?.writeText(this.#curl.textContent).catch(() => {})
    getSelection()?.selectAllChildren(this.#curl)
  }
}
