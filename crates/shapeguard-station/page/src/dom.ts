// Elements from code: what little the page needs instead of a framework.

export type Child = Node | string | number | null | false | Child[];

interface Props {
  [attribute: string]: unknown;
  /** Set property by property: the security policy forbids style attributes. */
  style?: Record<string, string>;
  on?: { [K in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[K]) => void };
}

/** An HTML element. Attributes that are `null` or `false` are left out, `true` ones are empty. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  return dress(document.createElement(tag), props, children);
}

/** An SVG element. */
export function svg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: Child[]
): SVGElementTagNameMap[K] {
  return dress(document.createElementNS("http://www.w3.org/2000/svg", tag), props, children);
}

function dress<E extends HTMLElement | SVGElement>(element: E, props: Props, children: Child[]): E {
  const { style = {}, on = {}, ...attributes } = props;
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  for (const [name, value] of Object.entries(style)) element.style.setProperty(name, value);
  for (const [name, listener] of Object.entries(on)) element.addEventListener(name, listener as EventListener);
  append(element, children);
  return element;
}

export function append(parent: Element, children: Child[]): void {
  for (const child of children) {
    if (Array.isArray(child)) append(parent, child);
    else if (child !== null && child !== false) parent.append(child instanceof Node ? child : String(child));
  }
}

/** Puts these in place of what an element holds. */
export function fill(parent: Element, ...children: Child[]): void {
  parent.replaceChildren();
  append(parent, children);
}

/** A table whose roles are spelt out, since narrow screens lay its rows out as cards, which would take them away. */
export function table(caption: string, columns: Child[], rows: HTMLTableRowElement[], kind = ""): HTMLElement {
  const heads = columns.map((column) => h("th", { scope: "col", role: "columnheader" }, column));
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    h(
      "table",
      { class: kind, role: "table", "aria-label": caption },
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads)),
      h("tbody", { role: "rowgroup" }, rows),
    ),
  );
}

export function row(...cells: Child[]): HTMLTableRowElement {
  return h("tr", { role: "row" }, cells.map((cell) => h("td", { role: "cell" }, cell)));
}
