/** The element of the page with this id, which is of this kind. */
export function find<Kind extends HTMLElement> (id: string, kind: new () => Kind): Kind {
  const element = document.getElementById(id)
  if (!(element instanceof kind)) throw new TypeError(`the page has no such #${id}`)
  return element
}

/** Whatever came from the network is set by this, as text; the page's policy refuses anything else. */
export function make<Tag extends keyof HTMLElementTagNameMap> (tag: Tag, text = '', className = ''): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag)
  element.textContent = text
  if (className) element.className = className
  return element
}

export function plural (count: number, noun: string): string {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`
}
