"use strict";

/** Elements, numbers as text, and arrow keys. Text is always set as text, never as markup. */
const Dom = (() => {
  /** An element: attributes ("on..." are listeners, null and false are left out), then elements and text. */
  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (value === true) made.setAttribute(name, "");
      else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value);
    }
    made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
    return made;
  }

  /** The text of `Words` with {names} replaced. */
  function say(key, values = {}) {
    if (!(key in Words)) throw new Error(`words.js has no text "${key}"`);
    return Words[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
  }

  const withMinus = (text) => text.replace(/-/g, "\u2212");

  /** Four significant digits. */
  function number(x) {
    if (x === 0 || !Number.isFinite(x)) return withMinus(String(x === 0 ? 0 : x));
    const size = Math.abs(x);
    if (size >= 1e6 || size < 1e-4) return withMinus(x.toExponential(3));
    return withMinus(size >= 1e4 ? String(Number(x.toPrecision(4))) : x.toPrecision(4));
  }

  const count = (n) => n.toLocaleString(Words.language);

  /** A large number in three digits: 3.41 M. */
  function quantity(n) {
    for (const [unit, name] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
      if (n >= unit) return `${Number((n / unit).toPrecision(3))}\u00a0${name}`;
    }
    return String(n);
  }

  function percent(p) {
    const text = (100 * p).toFixed(1);
    if (text === "0.0" && p > 0) return "< 0.1\u00a0%";
    if (text === "100.0" && p < 1) return "> 99.9\u00a0%";
    return `${text}\u00a0%`;
  }

  /** Arrow keys, Home and End move among the items of a container, which is one stop of the Tab key. */
  function rove(container, selector) {
    const items = () => [...container.querySelectorAll(selector)];
    container.addEventListener("keydown", (event) => {
      const all = items();
      const to = destination(all, all.indexOf(document.activeElement), event.key);
      if (to === null) return;
      event.preventDefault();
      all[to].focus();
    });
    container.addEventListener("focusin", (event) => {
      const item = event.target.closest(selector);
      if (item) setStop(items(), item);
    });
  }

  /** Make one of the items the one that the Tab key reaches. */
  function setStop(items, item) {
    for (const other of items) other.tabIndex = other === item ? 0 : -1;
  }

  function destination(items, at, key) {
    if (at < 0) return null;
    if (key === "ArrowRight") return Math.min(at + 1, items.length - 1);
    if (key === "ArrowLeft") return Math.max(at - 1, 0);
    if (key === "Home") return 0;
    if (key === "End") return items.length - 1;
    if (key !== "ArrowDown" && key !== "ArrowUp") return null;
    const boxes = items.map((item) => item.getBoundingClientRect());
    const sign = key === "ArrowDown" ? 1 : -1;
    let best = at, bestDistance = Infinity;
    boxes.forEach((box, k) => {
      const rows = sign * (box.top - boxes[at].top);
      const distance = 1e4 * rows + Math.abs(box.left - boxes[at].left);
      if (rows > 4 && distance < bestDistance) [best, bestDistance] = [k, distance];
    });
    return best;
  }

  /** Radio buttons with a name for them all; `choose` gets the chosen value. */
  function choice(name, label, options, chosen, choose) {
    return element("div", { class: "choice", role: "radiogroup", "aria-label": label },
      element("span", { class: "quiet", "aria-hidden": "true" }, label),
      options.map(([value, text]) => element("label", {},
        element("input", {
          type: "radio", name, value, checked: value === chosen, onchange: () => choose(value),
        }), text)));
  }

  /** A drop-down list with a label. */
  function select(label, options, chosen, choose) {
    const onchange = (event) => choose(Number(event.target.value));
    const list = element("select", { "aria-label": label, onchange },
      options.map(([value, text]) => element("option", { value, selected: value === chosen }, text)));
    return element("label", { class: "select" }, `${label} `, list);
  }

  const labelOf = (item) => item.getAttribute("aria-label") || item.textContent;

  /** Rebuild a part of the page; the focus in it stays at what has the same label, or goes to a heading. */
  function rebuild(container, make) {
    const active = document.activeElement, hadFocus = container.contains(active);
    make();
    if (!hadFocus || container.contains(document.activeElement)) return;
    const items = [...container.querySelectorAll("button:not(:disabled), select, input, [role=application]")];
    const same = items.find((item) => labelOf(item) === labelOf(active));
    const next = same || container.querySelector("[tabindex='-1']");
    if (next) next.focus({ preventScroll: true });
  }

  const announce = (text) => { document.getElementById("live").textContent = text; };

  return { element, say, number, count, quantity, percent, rove, setStop, choice, select, rebuild, announce };
})();
